//! What a failed call shows about its backend: what the circuit breaker and outlier detection count.

use http::StatusCode;
use rpc_layers::{blame, source};

use crate::error::{Cause, Failure};

/// What a failed call shows about its backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Evidence {
    /// The backend is well: it replied as it should to what it was asked.
    Success,
    /// The backend is at fault: another call, or one to another endpoint, may end otherwise.
    Failure,
    /// Nothing. Neither counts against the backend nor hides failures that do: otherwise a caller could open a circuit
    /// breaker for all others, or keep it closed.
    Inconclusive,
}

/// The response of an HTTP server that is not gRPC, with a status other than 200.
#[derive(Debug, thiserror::Error)]
#[error("HTTP status {0}")]
pub(crate) struct HttpResponse(pub(crate) StatusCode);

// === impl Evidence ===

impl Evidence {
    /// Judges a failed call.
    pub(crate) fn of(failure: &Failure) -> Self {
        match failure.cause {
            Cause::Answered(_) if is_callers_making(failure) => Self::Inconclusive,
            Cause::Answered(_) if failure.is_mendable() => Self::Failure,
            Cause::Answered(_) => Self::Success,
            Cause::Unsent | Cause::Lost | Cause::Unreachable | Cause::Malformed => Self::Failure,
            // A deadline is the caller's choice: one caller's short deadlines must not open the breaker for all.
            Cause::Late | Cause::Shed | Cause::CircuitOpen | Cause::Internal => Self::Inconclusive,
        }
    }
}

/// Returns whether the caller made this failure: HTTP refused the request before it reached the service, or the service
/// says that the caller asked for it.
fn is_callers_making(failure: &Failure) -> bool {
    source::find::<HttpResponse>(&failure.status).is_some_and(|response| response.0.is_client_error())
        || blame::is_callers(failure.status.metadata().as_ref())
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use tonic::{Code, Status};

    use super::*;
    use crate::transport::framing::check_response;

    fn of(status: Status) -> Evidence {
        Evidence::of(&Failure::of_attempt(status))
    }

    #[test]
    fn a_callers_deadline_or_mistake_does_not_count_against_the_backend() {
        for (code, evidence) in [
            (Code::Unavailable, Evidence::Failure),
            (Code::Unknown, Evidence::Failure),
            (Code::DataLoss, Evidence::Failure),
            (Code::DeadlineExceeded, Evidence::Inconclusive),
            (Code::NotFound, Evidence::Success),
            (Code::InvalidArgument, Evidence::Success),
            (Code::ResourceExhausted, Evidence::Success),
        ] {
            assert_eq!(of(Status::new(code, "")), evidence, "{code:?}");
        }
    }

    #[test]
    fn what_http_refuses_shows_nothing_and_what_a_server_fails_at_counts() {
        let http = |status| of(check_response(StatusCode::from_u16(status).unwrap(), &HeaderMap::new()).unwrap_err());
        for status in [400, 401, 404, 408, 413, 415, 429, 431] {
            assert_eq!(http(status), Evidence::Inconclusive, "{status}");
        }
        for status in [200, 302, 500, 502, 503, 504] {
            assert_ne!(http(status), Evidence::Inconclusive, "{status}");
        }
        assert_eq!((http(502), http(500)), (Evidence::Failure, Evidence::Failure));
    }

    #[test]
    fn a_fault_that_the_caller_asked_for_shows_nothing() {
        let mut fault = Status::unavailable("injected");
        assert_eq!(of(fault.clone()), Evidence::Failure);
        blame::mark_callers(fault.metadata_mut());
        assert_eq!(of(fault), Evidence::Inconclusive);
    }
}
