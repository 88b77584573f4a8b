//! `grpc-timeout`: what is read is written again, and what is written is never more than is left.

use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use rpc_layers::{
    deadline::{GRPC_TIMEOUT, InvalidGrpcTimeout, timeout_of},
    fuzzing::encode_grpc_timeout,
};
use tonic::Code;

use crate::{status::assert_status, text::assert_error};

/// The largest value of the format.
const LONGEST: Duration = Duration::from_hours(99_999_999);

/// Takes the input as the header's value, and its first bytes as the time that is left.
pub fn run(input: &[u8]) {
    if let Ok(value) = HeaderValue::from_bytes(input) {
        match read(value) {
            Ok(timeout) => {
                assert!(is_well_formed(input) && timeout <= LONGEST);
                // A unit is a multiple of the next finer one, so that nothing is lost.
                let written = encode_grpc_timeout(timeout);
                assert_eq!(read(written), Ok(timeout.max(Duration::from_nanos(1))));
            }
            Err(error) => {
                assert!(!is_well_formed(input));
                assert_error(&error);
                assert_status(error.into(), Code::InvalidArgument);
            }
        }
    }
    if let Some((seconds, rest)) = input.split_first_chunk()
        && let Some((nanos, _)) = rest.split_first_chunk()
    {
        let left = Duration::new(u64::from_le_bytes(*seconds), u32::from_le_bytes(*nanos) % 1_000_000_000);
        let sent = read(encode_grpc_timeout(left)).unwrap();
        assert!(sent <= left.max(Duration::from_nanos(1)), "{left:?} was sent as {sent:?}");
        assert!(left.min(LONGEST).saturating_sub(sent) <= left / 1000, "{left:?} was sent as {sent:?}");
        assert_eq!(read(encode_grpc_timeout(sent)), Ok(sent), "a finer unit may fit now");
    }
}

fn read(value: HeaderValue) -> Result<Duration, InvalidGrpcTimeout> {
    timeout_of(&HeaderMap::from_iter([(GRPC_TIMEOUT, value)])).map(|timeout| timeout.expect("there is a header"))
}

/// The specification's words: 1 to 8 digits, then a unit.
fn is_well_formed(value: &[u8]) -> bool {
    value.split_last().is_some_and(|(unit, digits)| {
        b"HMSmun".contains(unit) && (1..=8).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit)
    })
}
