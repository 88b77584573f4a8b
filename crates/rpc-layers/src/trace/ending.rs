//! How a call ended, on its span and in its metric.

use http::HeaderMap;
use tonic::Code;
use tracing::Span;

/// Which of the two ends of a call a span is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Server,
    Client,
}

/// What was read of the call's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Status(Code),
    /// Nobody waited for the end.
    Dropped,
}

// === impl Ending ===

impl Ending {
    /// The status that headers or trailers hold.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let code = headers.get("grpc-status")?;
        Some(Self::Status(Code::from_bytes(code.as_bytes())))
    }

    pub(super) fn code(self) -> Code {
        match self {
            Self::Status(code) => code,
            Self::Dropped => Code::Cancelled,
        }
    }

    pub(super) fn record(self, kind: Kind, span: &Span) {
        let name = code_name(self.code());
        span.record("rpc.response.status_code", name);
        if is_error(kind, self.code()) {
            span.record("error.type", name);
            span.record("otel.status_code", "ERROR");
        }
    }
}

/// Whether a span of this kind counts as failed. To a server most codes are an answer
/// like any other; its caller has not got what it asked for.
pub(super) fn is_error(kind: Kind, code: Code) -> bool {
    match kind {
        Kind::Client => code != Code::Ok,
        Kind::Server => matches!(
            code,
            Code::Unknown
                | Code::DeadlineExceeded
                | Code::Unimplemented
                | Code::Internal
                | Code::Unavailable
                | Code::DataLoss
        ),
    }
}

/// The code as the gRPC specification spells it, such as `DEADLINE_EXCEEDED`.
pub fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
