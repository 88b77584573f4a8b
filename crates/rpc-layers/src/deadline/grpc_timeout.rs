//! The header `grpc-timeout` of [gRPC over HTTP/2](https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md):
//! one to eight digits and a unit, `100m` for 100 milliseconds.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::header_value::used_once;

/// The header with the time that the caller allows for the reply.
pub const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// The allowed form, for error messages.
const ALLOWED: &str = "1 to 8 digits and a unit of H, M, S, m, u or n, such as 100m for 100 milliseconds";

/// The largest number of eight digits.
const MAX_VALUE: u64 = 99_999_999;

/// How much of a malformed value an error repeats, in bytes.
const SHOWN_BYTES: usize = 32;

/// The units, finest first, with their length in nanoseconds.
const UNITS: [(u8, u64); 6] = [
    (b'n', 1),
    (b'u', 1_000),
    (b'm', 1_000_000),
    (b'S', 1_000_000_000),
    (b'M', 60 * 1_000_000_000),
    (b'H', 3_600 * 1_000_000_000),
];

/// The error for a `grpc-timeout` that does not have the form of the specification.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("grpc-timeout {given:?} is malformed: expected {ALLOWED}")]
pub struct InvalidGrpcTimeout {
    given: String,
}

/// Returns the caller's timeout, or `None` if the header is missing or malformed.
pub(crate) fn client_timeout(headers: &HeaderMap) -> Option<Duration> {
    from_headers(headers).ok().flatten()
}

/// Returns the caller's timeout, or `None` if the header is missing. Accepts zero, although the specification has
/// positive numbers only: grpc-go sends `0n` for a deadline that has passed.
///
/// # Errors
///
/// Returns an error if the header does not have the form of the specification.
pub fn from_headers(headers: &HeaderMap) -> Result<Option<Duration>, InvalidGrpcTimeout> {
    headers.get(GRPC_TIMEOUT).map(|value| parse(value.as_bytes())).transpose()
}

/// Parses the value of the header strictly: no sign, no space, nothing after the unit.
pub(super) fn parse(value: &[u8]) -> Result<Duration, InvalidGrpcTimeout> {
    try_parse(value).ok_or_else(|| InvalidGrpcTimeout::new(value))
}

/// Encodes `left` in the finest unit that fits into eight digits, rounded down: the peer must not assume more time than
/// is left. Values above the range of the format become its largest value, 99,999,999 hours; zero becomes one
/// nanosecond.
pub(crate) fn encode(left: Duration) -> HeaderValue {
    let nanos = left.as_nanos().max(1);
    let (value, unit) = UNITS
        .iter()
        .find_map(|&(unit, length)| {
            let value = u64::try_from(nanos / u128::from(length)).ok()?;
            (value <= MAX_VALUE).then_some((value, unit))
        })
        .unwrap_or((MAX_VALUE, b'H'));
    let mut text = [0; 9];
    used_once(
        HeaderValue::from_bytes(write_digits(value, unit, &mut text)).expect("digits and a letter make a valid header"),
    )
}

fn try_parse(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    Some(match unit {
        b'H' => Duration::from_hours(value),
        b'M' => Duration::from_mins(value),
        b'S' => Duration::from_secs(value),
        b'm' => Duration::from_millis(value),
        b'u' => Duration::from_micros(value),
        b'n' => Duration::from_nanos(value),
        _ => return None,
    })
}

/// Writes `value`, which has at most eight digits, and `unit` to the end of `text`. Returns the part that it wrote.
fn write_digits(mut value: u64, unit: u8, text: &mut [u8; 9]) -> &[u8] {
    let mut start = text.len() - 1;
    text[start] = unit;
    loop {
        start -= 1;
        text[start] = b"0123456789"[(value % 10) as usize];
        value /= 10;
        if value == 0 {
            return &text[start..];
        }
    }
}

// === impl InvalidGrpcTimeout ===

impl InvalidGrpcTimeout {
    fn new(value: &[u8]) -> Self {
        let shown = &value[..value.len().min(SHOWN_BYTES)];
        Self { given: String::from_utf8_lossy(shown).into_owned() }
    }
}

impl From<InvalidGrpcTimeout> for Status {
    fn from(invalid: InvalidGrpcTimeout) -> Self {
        let message = invalid.to_string();
        let details = ErrorDetails::with_bad_request_violation(GRPC_TIMEOUT.as_str(), &message);
        Status::with_error_details(Code::InvalidArgument, message, details)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_every_unit() {
        for (text, expected) in [
            ("2H", Duration::from_hours(2)),
            ("3M", Duration::from_mins(3)),
            ("4S", Duration::from_secs(4)),
            ("5m", Duration::from_millis(5)),
            ("6u", Duration::from_micros(6)),
            ("7n", Duration::from_nanos(7)),
            ("0m", Duration::ZERO),
            ("00000001S", Duration::from_secs(1)),
            ("99999999H", Duration::from_hours(99_999_999)),
        ] {
            assert_eq!(parse(text.as_bytes()), Ok(expected), "{text}");
        }
    }

    #[test]
    fn rejects_what_the_specification_does_not_allow() {
        for text in ["", "m", "1", "+1m", "-1m", " 1m", "1m ", "1 m", "1.5S", "123456789m", "1s", "1h", "1mm", "٣m"] {
            let error = parse(text.as_bytes()).expect_err(text);
            assert!(error.to_string().contains("1 to 8 digits"), "{error}");
        }
    }

    #[test]
    fn an_error_shows_a_bounded_part_of_the_value() {
        let error = parse(&[b'x'; 10_000]).expect_err("not digits");
        assert!(error.to_string().len() < 200, "{error}");
    }

    #[test]
    fn a_malformed_header_names_its_field() {
        let status = Status::from(parse(b"soon").expect_err("not digits"));
        assert_eq!(status.code(), Code::InvalidArgument);
        let violations = status.get_details_bad_request().unwrap().field_violations;
        assert_eq!(violations[0].field, "grpc-timeout");
        assert!(violations[0].description.contains("\"soon\""));
    }

    #[test]
    fn writes_the_finest_unit_that_fits() {
        for (left, text) in [
            (Duration::ZERO, "1n"),
            (Duration::from_millis(99), "99000000n"),
            (Duration::from_millis(100), "100000u"),
            (Duration::from_secs(3), "3000000u"),
            (Duration::from_secs(100), "100000m"),
            (Duration::from_secs(100_000), "100000S"),
            (Duration::MAX, "99999999H"),
        ] {
            assert_eq!(encode(left), text, "{left:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_no_longer_and_close(secs in 0..=u64::MAX, nanos in 0_u32..1_000_000_000, shift in 0_u32..64) {
            let left = Duration::new(secs >> shift, nanos);
            prop_assume!(!left.is_zero());
            let header = encode(left);
            let read = parse(header.as_bytes()).expect("what we write is well-formed");
            prop_assert!(read <= left, "{left:?} became {read:?}");
            // eight digits, of which the finest unit that fits leaves three or more between any two units
            let longest = Duration::from_hours(MAX_VALUE);
            let lost = left.min(longest).checked_sub(read).expect("checked above");
            prop_assert!(lost.as_nanos() <= left.as_nanos() / 10_000, "{left:?} lost {lost:?}");
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..24)) {
            if let Ok(read) = parse(&bytes) {
                prop_assert!(bytes.len() <= 9);
                prop_assert!(read <= Duration::from_hours(MAX_VALUE));
            }
        }

        #[test]
        fn every_well_formed_value_reads(value in 0..=MAX_VALUE, unit in 0_usize..6) {
            let (letter, length) = UNITS[unit];
            let text = format!("{value}{}", char::from(letter));
            prop_assert_eq!(parse(text.as_bytes()).expect(&text).as_nanos(), u128::from(value) * u128::from(length));
        }
    }
}
