//! Which share of the requests fails.

use std::{fmt, str::FromStr};

use rand::{Rng, RngExt};

use crate::shown;

/// The probability that a request is answered UNAVAILABLE instead of by its service, from 0 to 1; written `0.05` or `5%`.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct ErrorRate(f64);

/// Why a text is no [`ErrorRate`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is not an error rate; allowed are 0 to 1, such as 0.05, or 0% to 100%, such as 5%")]
pub struct InvalidErrorRate {
    given: String,
}

// === impl ErrorRate ===

impl ErrorRate {
    /// No request fails.
    pub const ZERO: Self = Self(0.0);

    /// Decides whether one request fails. Draws nothing where the answer is certain.
    pub fn strikes<R: Rng + ?Sized>(self, rng: &mut R) -> bool {
        self.0 > 0.0 && (self.0 >= 1.0 || rng.random_bool(self.0))
    }

    /// Whether no request ever fails.
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
            // `abs` makes a zero of minus zero
            Ok(rate) if (0.0..=1.0).contains(&rate) => Ok(Self(rate.abs())),
            Ok(_) | Err(_) => Err(InvalidErrorRate { given: shown(text) }),
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
    fn reads_shares_and_percentages() {
        for (text, rate) in [("0", 0.0), ("0.05", 0.05), ("5%", 0.05), (" 12.5 % ", 0.125), ("1", 1.0), ("100%", 1.0)] {
            assert_eq!(text.parse(), Ok(ErrorRate(rate)), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_probability() {
        for text in ["", "%", "-0.1", "1.01", "101%", "NaN", "inf", "5 percent", "0,5"] {
            let error = text.parse::<ErrorRate>().expect_err(text).to_string();
            assert!(error.contains(&format!("{text:?}")) && error.contains("0 to 1"), "{error}");
        }
    }

    #[test]
    fn strikes_its_share() {
        let mut rng = StdRng::seed_from_u64(7);
        for (text, low, high) in [("0", 0, 0), ("0.05", 450, 550), ("50%", 4_850, 5_150), ("1", 10_000, 10_000)] {
            let rate: ErrorRate = text.parse().unwrap();
            let struck = (0..10_000).filter(|_| rate.strikes(&mut rng)).count();
            assert!((low..=high).contains(&struck), "{text}: {struck}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(rate in 0.0..=1.0) {
            prop_assert_eq!(ErrorRate(rate).to_string().parse(), Ok(ErrorRate(rate)));
        }

        #[test]
        fn no_text_panics(text in r"(\PC{0,16}|[0-9.e%+\-]{0,16})") {
            let _ = text.parse::<ErrorRate>();
        }
    }
}
