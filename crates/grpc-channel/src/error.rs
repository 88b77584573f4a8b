//! Why a call to a backend has no reply.

use std::{error::Error as StdError, sync::Arc, time::Duration};

use tonic::{Code, Status};
use tower::{BoxError, load_shed::error::Overloaded};
use tower_resilience_circuitbreaker::CircuitBreakerError;

/// Why a call has no reply: gRPC's status, and which part of the way it came from.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}: {}", .status.code(), .status.message())]
pub struct Failure {
    /// gRPC's status.
    pub status: Status,
    /// Where the call failed.
    pub cause: Cause,
}

/// Where a call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The backend answered with this status, and with what it says of another try.
    Answered(Pushback),
    /// The call did not leave the gateway, or the backend says that it did not start_unary it: its connection was closing.
    Unsent,
    /// The connection broke while the call was on its way: the backend may have done what it asks.
    Lost,
    /// No replica can be called.
    Unreachable,
    /// The reply is no protobuf message.
    Malformed,
    /// The deadline came.
    Late,
    /// As many calls as are allowed are in flight.
    Shed,
    /// The circuit breaker is open.
    CircuitOpen,
    /// A part of the gateway itself failed.
    Internal,
}

/// What a server says of another try, in `grpc-retry-pushback-ms` (gRPC's proposal A6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pushback {
    /// Nothing.
    #[default]
    Unsaid,
    /// Try again after this time.
    After(Duration),
    /// Do not try again: a negative number, or none.
    Never,
}

/// The call did not leave.
#[derive(Debug, thiserror::Error)]
#[error("the call was not sent: {0}")]
struct Unsent(#[source] h2::Error);

/// The stream of the call broke.
#[derive(Debug, thiserror::Error)]
#[error("the connection was lost: {0}")]
struct Lost(#[source] h2::Error);

/// The status of a call that the connection did not take.
pub(crate) fn unsent(error: h2::Error) -> Status {
    let mut status = Status::unavailable(error.to_string());
    status.set_source(Arc::new(Unsent(error)));
    status
}

/// The status of a call whose stream broke before its reply was whole.
pub(crate) fn lost(error: h2::Error) -> Status {
    // A server whose own timer ends a call resets it so: the deadline layer tells that from a change of mind.
    let code = if error.reason() == Some(h2::Reason::CANCEL) { Code::Cancelled } else { Code::Unavailable };
    let mut status = Status::new(code, error.to_string());
    status.set_source(if was_not_begun(&error) { Arc::new(Unsent(error)) } else { Arc::new(Lost(error)) });
    status
}

// === impl Failure ===

impl Failure {
    pub(crate) fn new(cause: Cause, status: Status) -> Self {
        Self { status, cause }
    }

    /// Whether calling again, or elsewhere, may end otherwise: what breakers and ejection count as the backend's fault.
    pub(crate) fn is_backends_fault(&self) -> bool {
        match self.cause {
            Cause::Answered(_) => matches!(self.status.code(), Code::Unavailable | Code::Unknown | Code::DataLoss),
            Cause::Unsent | Cause::Lost | Cause::Unreachable | Cause::Malformed => true,
            // A deadline is the caller's choice: one with a short one must not close the way for the others.
            Cause::Late | Cause::Shed | Cause::CircuitOpen | Cause::Internal => false,
        }
    }

    /// What a status that an attempt ended with tells of the way there.
    pub(crate) fn of_attempt(status: Status) -> Self {
        let cause = match status.code() {
            Code::DeadlineExceeded => Cause::Late,
            _ if has_cause::<Unsent>(&status) => Cause::Unsent,
            _ if has_cause::<Lost>(&status) => Cause::Lost,
            _ => Cause::Answered(Pushback::of(&status)),
        };
        Self::new(cause, status)
    }
}

impl From<BoxError> for Failure {
    /// Takes apart what tower's layers say.
    fn from(error: BoxError) -> Self {
        let error = match error.downcast::<Self>() {
            Ok(failure) => return *failure,
            Err(error) => error,
        };
        if error.is::<Overloaded>() {
            return Self::new(Cause::Shed, Status::resource_exhausted("as many calls as are allowed are in flight"));
        }
        Self::new(Cause::Internal, Status::internal(error.to_string()))
    }
}

impl From<CircuitBreakerError<Self>> for Failure {
    fn from(error: CircuitBreakerError<Self>) -> Self {
        match error {
            CircuitBreakerError::OpenCircuit => {
                Self::new(Cause::CircuitOpen, Status::unavailable("too many calls in a row have failed"))
            }
            CircuitBreakerError::Inner(failure) => failure,
        }
    }
}

/// Whether a status came of such an error, found by type in the chain of causes.
fn has_cause<E: StdError + 'static>(status: &Status) -> bool {
    std::iter::successors(status.source(), |cause| (*cause).source()).any(<dyn StdError>::is::<E>)
}

/// Whether the peer promises that it did nothing for the stream (RFC 9113, section 8.7): it refused it, or said
/// goodbye before it took it.
fn was_not_begun(error: &h2::Error) -> bool {
    error.reason() == Some(h2::Reason::REFUSED_STREAM)
        || (error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR))
}

// === impl Pushback ===

impl Pushback {
    fn of(status: &Status) -> Self {
        let Some(value) = status.metadata().get("grpc-retry-pushback-ms") else { return Self::Unsaid };
        let ms = value.to_str().ok().and_then(|text| text.parse().ok());
        ms.map_or(Self::Never, |ms| Self::After(Duration::from_millis(ms)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(code: Code, pushback: Option<&'static str>) -> Failure {
        let mut status = Status::new(code, "");
        if let Some(value) = pushback {
            status.metadata_mut().insert("grpc-retry-pushback-ms", value.parse().unwrap());
        }
        Failure::of_attempt(status)
    }

    #[test]
    fn pushback_is_a_number_of_milliseconds_or_a_no() {
        let cause = |value| answered(Code::Unavailable, value).cause;
        assert_eq!(cause(None), Cause::Answered(Pushback::Unsaid));
        assert_eq!(cause(Some("250")), Cause::Answered(Pushback::After(Duration::from_millis(250))));
        for no in ["-1", "soon", ""] {
            assert_eq!(cause(Some(no)), Cause::Answered(Pushback::Never), "{no:?}");
        }
    }

    #[test]
    fn what_was_refused_was_not_begun() {
        for (reason, cause) in [
            (h2::Reason::REFUSED_STREAM, Cause::Unsent),
            (h2::Reason::INTERNAL_ERROR, Cause::Lost),
            (h2::Reason::CANCEL, Cause::Lost),
        ] {
            assert_eq!(Failure::of_attempt(lost(reason.into())).cause, cause, "{reason:?}");
        }
        assert_eq!(Failure::of_attempt(unsent(h2::Reason::NO_ERROR.into())).cause, Cause::Unsent);
    }

    #[test]
    fn towers_words_are_taken_apart() {
        assert_eq!(Failure::from(BoxError::from(Overloaded::new())).cause, Cause::Shed);
        assert_eq!(Failure::from(CircuitBreakerError::OpenCircuit).cause, Cause::CircuitOpen);
        let late = answered(Code::DeadlineExceeded, None);
        let boxed = BoxError::from(Failure::from(CircuitBreakerError::Inner(late)));
        assert_eq!(Failure::from(boxed).cause, Cause::Late);
    }

    #[test]
    fn a_callers_deadline_or_mistake_is_not_the_backends_fault() {
        for (code, fault) in [
            (Code::Unavailable, true),
            (Code::Unknown, true),
            (Code::DeadlineExceeded, false),
            (Code::NotFound, false),
            (Code::ResourceExhausted, false),
        ] {
            assert_eq!(answered(code, None).is_backends_fault(), fault, "{code:?}");
        }
    }
}
