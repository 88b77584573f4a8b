//! The deadline of one request, and who set it.

use std::{fmt, time::Duration};

use http::Request;
use tonic::Status;

use super::super::{
    grpc_timeout::{self, InvalidGrpcTimeout},
    instant::{Deadline, Millis},
    received::Received,
};

/// The deadline of a request, with its timeout and origin for messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestLimit {
    pub(super) deadline: Deadline,
    timeout: Duration,
    set_by: SetBy,
}

#[derive(Clone, Copy, Debug)]
enum SetBy {
    Caller,
    Server,
    OuterLayer,
}

// === impl RequestLimit ===

impl RequestLimit {
    /// Returns the limit of a request: the earliest of the caller's timeout, `own_limit` of the server, and a deadline
    /// that an outer layer put into its extensions. `None` if it has none of them.
    pub(super) fn of<B>(request: &Request<B>, own_limit: Option<Duration>) -> Result<Option<Self>, InvalidGrpcTimeout> {
        let caller = grpc_timeout::from_headers(request.headers())?;
        // Without a limit the clock is not read.
        let start = (caller.is_some() || own_limit.is_some()).then(|| Received::of(request.extensions()));
        let limit =
            |timeout, set_by| Some(Self { deadline: Deadline::of(timeout?, start?), timeout: timeout?, set_by });
        let (caller, own) = (limit(caller, SetBy::Caller), limit(own_limit, SetBy::Server));
        let outer = request.extensions().get().map(|&deadline: &Deadline| Self {
            deadline,
            timeout: deadline.remaining(),
            set_by: SetBy::OuterLayer,
        });
        Ok([caller, own, outer].into_iter().flatten().min_by_key(|limit| limit.deadline))
    }

    /// Returns the status of an expired request.
    pub(super) fn exceeded(&self) -> Status {
        Status::deadline_exceeded(format!("deadline of {} exceeded, set by {}", Millis(self.timeout), self.set_by))
    }
}

impl fmt::Display for SetBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Caller => "the call's grpc-timeout",
            Self::Server => "this server's own limit",
            Self::OuterLayer => "a layer further out",
        })
    }
}
