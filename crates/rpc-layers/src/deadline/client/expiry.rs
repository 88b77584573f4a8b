//! Tells expired calls from cancelled ones: peer and transport report both as CANCELLED.

use std::time::Duration;

use http::{HeaderMap, HeaderName};
use tonic::{Code, Status, TimeoutExpired};
use tower::BoxError;

use super::{super::instant::Millis, call_limit::CallLimit};
use crate::source;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_STATUS_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

/// A CANCELLED this close to the deadline counts as expired: the header rounds the time left down (by at most 1 ms for
/// timeouts up to a day), and the peer may be earlier than this process's timer, whose tick is 1 ms.
const SLACK: Duration = Duration::from_millis(2);

/// Returns the status of an expired call.
pub(super) fn exceeded(limit: Option<CallLimit>) -> Status {
    Status::deadline_exceeded(match limit {
        Some(limit) if limit.timeout.is_zero() => "deadline exceeded before the call was made".to_owned(),
        Some(limit) => format!("deadline exceeded: the call had {}", Millis(limit.timeout)),
        None => "deadline exceeded".to_owned(),
    })
}

/// Returns the status of a call that failed with `error`, which remains its source.
pub(super) fn normalise(error: BoxError, limit: Option<CallLimit>) -> Status {
    let timer_fired = source::find::<TimeoutExpired>(&*error).is_some();
    let status = Status::from_error(error);
    let is_expired = timer_fired || (status.code() == Code::Cancelled && is_due(limit));
    if !is_expired {
        return status;
    }
    let mut expired = exceeded(limit);
    expired.set_source(std::sync::Arc::new(status));
    expired
}

/// Replaces a CANCELLED in headers or trailers that arrive at the deadline by `DEADLINE_EXCEEDED`.
pub(super) fn cancelled_to_exceeded(headers: &mut HeaderMap, limit: Option<CallLimit>) {
    if headers.get(GRPC_STATUS).is_none_or(|code| code != "1") || !is_due(limit) {
        return;
    }
    headers.remove(GRPC_STATUS_DETAILS);
    // Cannot fail, because the message is ASCII.
    let _ = exceeded(limit).add_header(headers);
}

/// Returns whether headers or trailers have the status of the call.
pub(super) fn has_status(headers: &HeaderMap) -> bool {
    headers.contains_key(GRPC_STATUS)
}

/// Returns whether the deadline has passed, within the tolerance of clocks and rounding.
pub(super) fn is_due(limit: Option<CallLimit>) -> bool {
    limit.is_some_and(|limit| limit.deadline.remaining() <= SLACK)
}
