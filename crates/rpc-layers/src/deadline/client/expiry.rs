//! Tells a call that ran out of time from one that was cancelled: the peer and the transport say CANCELLED to both.

use std::time::Duration;

use http::{HeaderMap, HeaderName};
use tonic::{Code, Status, TimeoutExpired};
use tower::BoxError;

use super::{super::Millis, Grant};
use crate::source;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_STATUS_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

/// A CANCELLED this close to the deadline is the deadline's: the header rounds what is left down (by 1 ms at most, up to a day),
/// and the peer may be earlier than our timer, whose tick is 1 ms.
const SLACK: Duration = Duration::from_millis(2);

/// The status of a call that ran out of time.
pub(super) fn exceeded(grant: Option<Grant>) -> Status {
    Status::deadline_exceeded(match grant {
        Some(grant) if grant.had.is_zero() => "deadline exceeded before the call was made".to_owned(),
        Some(grant) => format!("deadline exceeded: the call had {}", Millis(grant.had)),
        None => "deadline exceeded".to_owned(),
    })
}

/// The status of a call that failed with `error`, which stays its source.
pub(super) fn normalise(error: BoxError, grant: Option<Grant>) -> Status {
    let timer_fired = source::find::<TimeoutExpired>(&*error).is_some();
    let status = Status::from_error(error);
    let is_late = timer_fired || (status.code() == Code::Cancelled && is_due(grant));
    if !is_late {
        return status;
    }
    let mut late = exceeded(grant);
    late.set_source(std::sync::Arc::new(status));
    late
}

/// Makes a CANCELLED in `headers` (or trailers) that arrives at the deadline a `DEADLINE_EXCEEDED`.
pub(super) fn cancelled_to_exceeded(headers: &mut HeaderMap, grant: Option<Grant>) {
    if headers.get(GRPC_STATUS).is_none_or(|code| code != "1") || !is_due(grant) {
        return;
    }
    headers.remove(GRPC_STATUS_DETAILS);
    // cannot fail for an ASCII message; if it did, the CANCELLED would stay
    let _ = exceeded(grant).add_header(headers);
}

/// Whether `headers` hold the outcome of the call.
pub(super) fn tells_status(headers: &HeaderMap) -> bool {
    headers.contains_key(GRPC_STATUS)
}

/// Whether the deadline has come, give or take what the clocks and the header's rounding may be off.
pub(super) fn is_due(grant: Option<Grant>) -> bool {
    grant.is_some_and(|grant| grant.deadline.remaining() <= SLACK)
}
