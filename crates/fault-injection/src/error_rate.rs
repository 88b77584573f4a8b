//! The share of the requests that fails.

use std::{fmt, str::FromStr};

use rand::{Rng, RngExt};

/// The probability that a request fails with UNAVAILABLE instead of reaching its service, from 0 to 1. Written as
/// `0.05` or `5%`.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct ErrorRate(f64);

/// The error for a text that is not an [`ErrorRate`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 0 to 1, such as 0.05, or 0% to 100%, such as 5%")]
pub struct InvalidErrorRate;

// === impl ErrorRate ===

impl ErrorRate {
    /// No request fails.
    pub const ZERO: Self = Self(0.0);

    /// Decides whether one request fails. Draws no number if the rate is 0 or 1.
    pub fn sample<R: Rng + ?Sized>(self, rng: &mut R) -> bool {
        self.0 > 0.0 && (self.0 >= 1.0 || rng.random_bool(self.0))
    }

    /// Returns whether no request fails.
    pub fn is_zero(self) -> bool {
        self.0 <= 0.0
    }
}

impl FromStr for ErrorRate {
    type Err = InvalidErrorRate;

    fn from_str(text: &str) -> Result<Self, InvalidErrorRate> {
        let trimmed = text.trim();
        let rate = match trimmed.strip_suffix('%') {
            Some(percent) => percent.trim_end().parse::<f64>().map(|percent| percent / 100.0),
            None => trimmed.parse(),
        };
        match rate {
            // `abs` turns -0 into 0.
            Ok(rate) if (0.0..=1.0).contains(&rate) => Ok(Self(rate.abs())),
            Ok(_) | Err(_) => Err(InvalidErrorRate),
        }
    }
}

impl fmt::Display for ErrorRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn parses_fractions_and_percentages() {
        for (text, rate) in [("0", 0.0), ("0.05", 0.05), ("5%", 0.05), (" 12.5 % ", 0.125), ("1", 1.0), ("100%", 1.0)] {
            assert_eq!(text.parse(), Ok(ErrorRate(rate)), "{text}");
        }
    }

    #[test]
    fn rejects_values_that_are_not_probabilities() {
        for text in ["", "%", "-0.1", "1.01", "101%", "NaN", "inf", "5 percent", "0,5"] {
            let error = text.parse::<ErrorRate>().expect_err(text).to_string();
            assert!(error.contains("0 to 1"), "{error}");
        }
    }

    #[test]
    fn fails_its_share() {
        let mut rng = StdRng::seed_from_u64(7);
        for (text, low, high) in [("0", 0, 0), ("0.05", 450, 550), ("50%", 4_850, 5_150), ("1", 10_000, 10_000)] {
            let rate: ErrorRate = text.parse().unwrap();
            let failed = (0..10_000).filter(|_| rate.sample(&mut rng)).count();
            assert!((low..=high).contains(&failed), "{text}: {failed}");
        }
    }

    proptest! {
        #[test]
        fn display_and_parse_round_trip(rate in 0.0..=1.0) {
            prop_assert_eq!(ErrorRate(rate).to_string().parse(), Ok(ErrorRate(rate)));
        }

        #[test]
        fn no_text_panics(text in r"(\PC{0,16}|[0-9.e%+\-]{0,16})") {
            let _ = text.parse::<ErrorRate>();
        }
    }
}
