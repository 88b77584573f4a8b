//! The deadline of one call.

use std::time::Duration;

use http::Request;

use super::super::{grpc_timeout, instant::Deadline};
use crate::call_context::deadline_of;

/// The deadline of a call, and the timeout that it had when it was made, for messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct CallLimit {
    pub(super) deadline: Deadline,
    pub(super) timeout: Duration,
}

// === impl CallLimit ===

impl CallLimit {
    /// Returns the limit of a call, or `None` if its request has no [`Deadline`]. A shorter `grpc-timeout` of the
    /// request replaces the deadline. A malformed one is replaced by the deadline, and otherwise left for the peer to
    /// reject.
    pub(super) fn of<B>(request: &Request<B>) -> Option<Self> {
        let deadline = deadline_of(request.extensions())?;
        let deadline = match grpc_timeout::from_headers(request.headers()) {
            Ok(Some(shorter)) => deadline.min(Deadline::after(shorter)),
            Ok(None) | Err(_) => deadline,
        };
        Some(Self { deadline, timeout: deadline.remaining() })
    }
}
