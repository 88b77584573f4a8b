//! Parsers for the values of flags, with errors that name what is allowed.

use std::{fmt::Display, str::FromStr, time::Duration};

/// Parses a duration such as `30s` or `500ms`.
///
/// # Errors
///
/// Returns an error if the text is not a duration, or the duration is zero.
pub fn positive_duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("expected a time above 0 with its unit, such as 500ms, 30s or 2m".to_owned()),
    }
}

/// Parses a duration such as `30s`, `500ms` or `0s`.
///
/// # Errors
///
/// Returns an error if the text is not a duration.
pub fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| "expected a time with its unit, such as 500ms, 30s or 2m".to_owned())
}

/// Parses a whole percentage from `1%` to `100%`.
///
/// # Errors
///
/// Returns an error if the text is anything else.
pub(super) fn percentage(text: &str) -> Result<u8, String> {
    match text.strip_suffix('%').and_then(|number| number.parse().ok()) {
        Some(percentage @ 1..=100) => Ok(percentage),
        _ => Err("expected a whole percentage from 1% to 100%, such as 25%".to_owned()),
    }
}

/// Returns a parser for whole numbers from `min` to `max`, both included. It returns an error for everything else.
pub fn whole_number<N>(min: N, max: N) -> impl Fn(&str) -> Result<N, String> + Clone + Send + Sync + 'static
where
    N: FromStr + PartialOrd + Display + Copy + Send + Sync + 'static,
{
    move |text| match text.parse() {
        Ok(number) if (min..=max).contains(&number) => Ok(number),
        _ => Err(format!("expected a whole number from {min} to {max}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_within_its_range() {
        let parse = whole_number::<usize>(1, 1_000_000);
        assert_eq!((parse("1"), parse("1000000")), (Ok(1), Ok(1_000_000)));
        for bad in ["0", "-1", "1000001", "many", ""] {
            assert_eq!(parse(bad), Err("expected a whole number from 1 to 1000000".to_owned()), "{bad:?}");
        }
    }

    #[test]
    fn a_percentage_has_its_sign() {
        assert_eq!((percentage("1%"), percentage("100%")), (Ok(1), Ok(100)));
        for bad in ["25", "0%", "101%", "-1%", "2.5%", "%", ""] {
            assert!(percentage(bad).unwrap_err().contains("1% to 100%"), "{bad:?}");
        }
    }

    #[test]
    fn a_duration_is_positive() {
        assert_eq!(positive_duration("1m 500ms"), Ok(Duration::from_millis(60_500)));
        for bad in ["0s", "0", "soon", "-1s", "3"] {
            assert!(positive_duration(bad).unwrap_err().contains("500ms"), "{bad}");
        }
    }
}
