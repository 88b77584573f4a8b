//! How long a simulated request takes.

use std::{fmt, str::FromStr, time::Duration};

use rand::Rng;
use rand_distr::{Distribution as _, LogNormal, Normal};

/// The longest delay that can be set or drawn: 60 s.
pub const MAX_DELAY: Duration = Duration::from_mins(1);

/// The allowed forms, for error messages.
const ALLOWED: &str = "0, a time such as 300ms, mean and standard deviation as 300ms±30ms or 300ms+-30ms, \
                       or percentiles as p50=20ms,p99=200ms; at most 60s";

/// The distance from the median of a standard normal distribution to its 99th percentile.
const Z99: f64 = 2.326_347_874_040_841;

/// The distribution of the time that a request takes. Each request draws its own. Draws are clamped to 0–60 s
/// ([`MAX_DELAY`]).
///
/// | text | meaning |
/// |---|---|
/// | `0` | no delay |
/// | `3s`, `1m 30s` | constant |
/// | `300ms±30ms`, `300ms+-30ms` | normal, by mean and standard deviation |
/// | `p50=20ms,p99=200ms` | log-normal, by median and 99th percentile: the long tail of a real service |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Distribution(Shape);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Shape {
    Constant(Duration),
    Normal { mean: Duration, deviation: Duration, seconds: Normal<f64> },
    LogNormal { p50: Duration, p99: Duration, seconds: LogNormal<f64> },
}

/// The error for a text that is not a [`Distribution`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: expected {ALLOWED}")]
pub struct InvalidDistribution {
    reason: String,
}

// === impl Distribution ===

impl Distribution {
    /// No delay.
    pub const ZERO: Self = Self(Shape::Constant(Duration::ZERO));

    /// Returns the constant delay `delay`, at most [`MAX_DELAY`].
    pub fn constant(delay: Duration) -> Self {
        Self(Shape::Constant(delay.min(MAX_DELAY)))
    }

    /// Draws one delay, from zero to [`MAX_DELAY`].
    pub fn sample<R: Rng + ?Sized>(&self, rng: &mut R) -> Duration {
        let seconds = match &self.0 {
            Shape::Constant(delay) => return *delay,
            Shape::Normal { seconds, .. } => seconds.sample(rng),
            Shape::LogNormal { seconds, .. } => seconds.sample(rng),
        };
        Duration::from_secs_f64(seconds.clamp(0.0, MAX_DELAY.as_secs_f64()))
    }

    fn normal(mean: Duration, deviation: Duration) -> Result<Self, String> {
        let seconds = Normal::new(mean.as_secs_f64(), deviation.as_secs_f64()).map_err(|error| error.to_string())?;
        Ok(Self(Shape::Normal { mean, deviation, seconds }))
    }

    fn log_normal(p50: Duration, p99: Duration) -> Result<Self, String> {
        if p50.is_zero() {
            return Err("p50 must be more than zero".to_owned());
        }
        if p99 < p50 {
            return Err("p99 is less than p50".to_owned());
        }
        let (median, tail) = (p50.as_secs_f64(), p99.as_secs_f64());
        let seconds = LogNormal::new(median.ln(), (tail / median).ln() / Z99).map_err(|error| error.to_string())?;
        Ok(Self(Shape::LogNormal { p50, p99, seconds }))
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text.contains('=') {
            let (p50, p99) = percentiles(text)?;
            return Self::log_normal(p50, p99);
        }
        match text.split_once('±').or_else(|| text.split_once("+-")) {
            Some((mean, deviation)) => Self::normal(duration(mean)?, duration(deviation)?),
            None => Ok(Self(Shape::Constant(duration(text)?))),
        }
    }
}

impl FromStr for Distribution {
    type Err = InvalidDistribution;

    fn from_str(text: &str) -> Result<Self, InvalidDistribution> {
        Self::parse(text).map_err(|reason| InvalidDistribution { reason })
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = humantime::format_duration;
        match self.0 {
            Shape::Constant(Duration::ZERO) => f.write_str("0"),
            Shape::Constant(delay) => text(delay).fmt(f),
            Shape::Normal { mean, deviation, .. } => write!(f, "{}±{}", text(mean), text(deviation)),
            Shape::LogNormal { p50, p99, .. } => write!(f, "p50={},p99={}", text(p50), text(p99)),
        }
    }
}

/// Parses `p50=…,p99=…`, in either order.
fn percentiles(text: &str) -> Result<(Duration, Duration), String> {
    let (mut p50, mut p99) = (None, None);
    for part in text.split(',') {
        let (name, value) = part.split_once('=').ok_or("a percentile needs a value")?;
        let value_of = match name.trim() {
            "p50" => &mut p50,
            "p99" => &mut p99,
            _ => return Err("the percentiles are p50 and p99".to_owned()),
        };
        if value_of.replace(duration(value)?).is_some() {
            return Err("a percentile is given twice".to_owned());
        }
    }
    p50.zip(p99).ok_or_else(|| "both p50 and p99 are needed".to_owned())
}

fn duration(text: &str) -> Result<Duration, String> {
    // humantime's own messages repeat the text, which the caller's error has already, at any length.
    let duration = humantime::parse_duration(text.trim()).map_err(|error| match error {
        humantime::DurationError::UnknownUnit { unit, .. } if unit.is_empty() => "its unit is missing",
        humantime::DurationError::UnknownUnit { .. } => "its unit is unknown",
        humantime::DurationError::NumberOverflow => "it is too long",
        _ => "it is no time",
    })?;
    if duration > MAX_DELAY { Err("it is too long".to_owned()) } else { Ok(duration) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    fn samples(text: &str) -> Vec<Duration> {
        let distribution: Distribution = text.parse().unwrap();
        let mut rng = StdRng::seed_from_u64(7);
        let mut samples: Vec<_> = (0..100_000).map(|_| distribution.sample(&mut rng)).collect();
        samples.sort();
        samples
    }

    fn within(actual: Duration, expected_ms: f64, tolerance: f64) {
        let actual = actual.as_secs_f64() * 1e3;
        assert!((actual - expected_ms).abs() <= expected_ms * tolerance, "{actual} ms, expected {expected_ms} ms");
    }

    #[test]
    fn constant_has_a_single_value() {
        assert_eq!("0".parse(), Ok(Distribution::ZERO));
        assert_eq!("0ms".parse(), Ok(Distribution::ZERO));
        for (text, millis) in [("3s", 3_000), ("300ms", 300), (" 1m ", 60_000)] {
            let delay = Duration::from_millis(millis);
            assert_eq!(text.parse(), Ok(Distribution::constant(delay)));
            assert!(samples(text).iter().all(|&sample| sample == delay));
        }
    }

    #[test]
    fn normal_has_its_mean_and_deviation() {
        for text in ["300ms±30ms", "300ms+-30ms", "300ms ± 30ms"] {
            let samples = samples(text);
            within(samples[50_000], 300.0, 0.01);
            // one deviation below and above the mean
            within(samples[15_866], 270.0, 0.01);
            within(samples[84_134], 330.0, 0.01);
        }
    }

    #[test]
    fn normal_is_clamped_to_zero_and_the_limit() {
        let wide = samples("10ms±60s");
        assert_eq!((wide[0], wide[99_999]), (Duration::ZERO, MAX_DELAY));
    }

    #[test]
    fn log_normal_has_its_percentiles() {
        for text in ["p50=20ms,p99=200ms", "p99=200ms, p50=20ms"] {
            let samples = samples(text);
            within(samples[50_000], 20.0, 0.02);
            within(samples[99_000], 200.0, 0.05);
        }
        assert!(samples("p50=1s,p99=60s").iter().all(|&sample| sample <= MAX_DELAY));
        for sample in samples("p50=20ms,p99=20ms") {
            within(sample, 20.0, 1e-6);
        }
    }

    #[test]
    fn errors_say_what_is_wrong_and_then_what_is_allowed() {
        for (text, reason) in [
            ("", "it is no time"),
            ("3", "its unit is missing"),
            ("3 parsecs", "its unit is unknown"),
            ("-3s", "it is no time"),
            ("61s", "it is too long"),
            ("1s±61s", "it is too long"),
            ("300ms±", "it is no time"),
            ("p50=20ms", "both p50 and p99"),
            ("p50=20ms,p50=20ms,p99=1s", "given twice"),
            ("p50=20ms,p99", "needs a value"),
            ("p50=20ms,p95=1s", "are p50 and p99"),
            ("p50=0ms,p99=1s", "more than zero"),
            ("p50=2s,p99=1s", "less than p50"),
            ("p50=2s,p99=61s", "it is too long"),
        ] {
            let error = text.parse::<Distribution>().expect_err(text).to_string();
            let (wrong, allowed) = error.split_once(": expected ").unwrap();
            assert!(wrong.contains(reason) && allowed.ends_with("at most 60s"), "{error}");
        }
        let long = "9".repeat(10_000).parse::<Distribution>().expect_err("no unit").to_string();
        assert!(long.len() < 500, "{long}");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in r"(\PC{0,24}|[p0-9=,.smu±+\- ]{0,40})") {
            if let Ok(distribution) = text.parse::<Distribution>() {
                prop_assert!(distribution.sample(&mut StdRng::seed_from_u64(1)) <= MAX_DELAY);
            }
        }

        #[test]
        fn display_and_parse_round_trip(a in 1_u64..=60_000_000_000, b in 0_u64..=60_000_000_000, shape in 0_u8..3) {
            let (first, second) = (Duration::from_nanos(a), Duration::from_nanos(b));
            let distribution = match shape {
                0 => Ok(Distribution::constant(second)),
                1 => Distribution::normal(first, second),
                _ => Distribution::log_normal(first.min(second.max(Duration::from_nanos(1))), first.max(second)),
            }.expect("within the limits");
            prop_assert_eq!(distribution.to_string().parse(), Ok(distribution));
        }
    }
}
