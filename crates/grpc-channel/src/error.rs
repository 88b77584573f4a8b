//! Why a call to a backend has no reply.

use std::{error::Error as StdError, fmt, sync::Arc, time::Duration};

use rpc_layers::source;
use tonic::{Code, Status};

/// Why a call has no reply: gRPC's status, and which part of the way it came from.
///
/// Generated clients return its [`Status`]; [`Failure::find_in`] finds the failure there.
#[derive(Clone, Debug)]
pub struct Failure {
    /// gRPC's status.
    pub status: Status,
    /// Where the call failed.
    pub cause: Cause,
}

/// Where a call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The backend replied with this status, and with this about another try.
    Answered(Pushback),
    /// The call was not sent, or the backend promises that it did not process it: its connection was closing.
    Unsent,
    /// The connection broke after the call was sent: the backend may have processed it.
    Lost,
    /// No endpoint can be called.
    Unreachable,
    /// The reply is not a message.
    Malformed,
    /// The deadline passed.
    Late,
    /// Too many calls are in flight.
    Shed,
    /// The circuit breaker is open.
    CircuitOpen,
    /// A part of the channel itself failed.
    Internal,
}

/// What a server says about another try, in `grpc-retry-pushback-ms` (gRFC A6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pushback {
    /// Nothing.
    #[default]
    Unsaid,
    /// Try again after this time.
    After(Duration),
    /// Do not try again: the value is negative or not a number.
    Never,
}

/// The call was not sent, or not processed.
#[derive(Debug, thiserror::Error)]
#[error("the call was not sent: {0}")]
struct Unsent(#[source] h2::Error);

/// The stream of the call broke.
#[derive(Debug, thiserror::Error)]
#[error("the connection was lost: {0}")]
struct Lost(#[source] h2::Error);

/// Returns the status of a call that the connection did not accept.
pub(crate) fn unsent(error: h2::Error) -> Status {
    let mut status = Status::unavailable(error.to_string());
    status.set_source(Arc::new(Unsent(error)));
    status
}

/// Returns the status of a call whose stream broke before its reply was whole.
pub(crate) fn lost(error: h2::Error) -> Status {
    // A server whose own timer ends a call resets it with CANCEL: the deadline layer tells that from a cancellation.
    let code = if error.reason() == Some(h2::Reason::CANCEL) { Code::Cancelled } else { Code::Unavailable };
    let mut status = Status::new(code, error.to_string());
    status.set_source(if was_not_processed(&error) { Arc::new(Unsent(error)) } else { Arc::new(Lost(error)) });
    status
}

/// Returns whether the peer promises that it did not process the stream (RFC 9113, section 8.7): it refused the stream,
/// or sent GOAWAY before it took it.
fn was_not_processed(error: &h2::Error) -> bool {
    error.reason() == Some(h2::Reason::REFUSED_STREAM)
        || (error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR))
}

// === impl Failure ===

impl Failure {
    /// Returns the failure behind the status that a generated client returned, if it came from a channel.
    pub fn find_in(status: &Status) -> Option<&Self> {
        source::find(status)
    }

    /// Returns whether a server may have seen the call, and so may have done what it asks. `false` is a promise.
    pub fn may_have_been_seen(&self) -> bool {
        match self.cause {
            Cause::Answered(_) | Cause::Lost | Cause::Malformed | Cause::Late | Cause::Internal => true,
            Cause::Unsent | Cause::Unreachable | Cause::Shed | Cause::CircuitOpen => false,
        }
    }

    pub(crate) fn new(cause: Cause, status: Status) -> Self {
        Self { status, cause }
    }

    /// Returns a failure of the channel itself.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(Cause::Internal, Status::internal(message))
    }

    /// Returns the failure of an attempt that ended with this status.
    pub(crate) fn of_attempt(status: Status) -> Self {
        let cause = match status.code() {
            Code::DeadlineExceeded => Cause::Late,
            _ if source::find::<Unsent>(&status).is_some() => Cause::Unsent,
            _ if source::find::<Lost>(&status).is_some() => Cause::Lost,
            _ => Cause::Answered(Pushback::of(&status)),
        };
        Self::new(cause, status)
    }

    /// Returns whether another call, or one to another endpoint, may end otherwise.
    pub(crate) fn is_mendable(&self) -> bool {
        match self.cause {
            Cause::Answered(_) => matches!(self.status.code(), Code::Unavailable | Code::Unknown | Code::DataLoss),
            Cause::Unsent | Cause::Lost | Cause::Unreachable | Cause::Malformed => true,
            Cause::Late | Cause::Shed | Cause::CircuitOpen | Cause::Internal => false,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.status.code(), self.status.message())
    }
}

impl StdError for Failure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.status.source()
    }
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        let mut status = failure.status.clone();
        status.set_source(Arc::new(failure));
        status
    }
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
    fn what_was_refused_was_not_processed() {
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
    fn a_failure_survives_tonic() {
        let late = answered(Code::DeadlineExceeded, None);
        let status = Status::from_error(Box::new(Status::from(late)));
        assert_eq!((status.code(), Failure::find_in(&status).unwrap().cause), (Code::DeadlineExceeded, Cause::Late));
    }

    #[test]
    fn a_status_says_whether_a_server_may_have_seen_the_call() {
        let status = |error| Status::from(Failure::of_attempt(error));
        for (error, seen) in [
            (unsent(h2::Reason::NO_ERROR.into()), false),
            (lost(h2::Reason::REFUSED_STREAM.into()), false),
            (lost(h2::Reason::INTERNAL_ERROR.into()), true),
            (Status::not_found("nobody"), true),
        ] {
            let status = status(error);
            assert_eq!(Failure::find_in(&status).unwrap().may_have_been_seen(), seen, "{status:?}");
        }
    }
}
