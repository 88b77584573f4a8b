//! How a call ended, on its span and in its metric.

use http::HeaderMap;
use tonic::Code;
use tracing::Span;

/// The side of a call that a span describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SpanKind {
    Server,
    Client,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndReason {
    /// With this status.
    Status(Code),
    /// The reply was dropped before its end.
    Dropped,
}

// === impl EndReason ===

impl EndReason {
    /// Reads the status from headers or trailers. Returns `None` if they have none.
    pub(super) fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let code = headers.get("grpc-status")?;
        Some(Self::Status(Code::from_bytes(code.as_bytes())))
    }

    /// Returns the status code, which is CANCELLED for a dropped call.
    pub(super) fn code(self) -> Code {
        match self {
            Self::Status(code) => code,
            Self::Dropped => Code::Cancelled,
        }
    }

    /// Records the status on the span of the call.
    pub(super) fn record(self, kind: SpanKind, span: &Span) {
        let name = code_name(self.code());
        span.record("rpc.response.status_code", name);
        if is_error(kind, self.code()) {
            span.record("error.type", name);
            span.record("otel.status_code", "ERROR");
        }
    }
}

/// Returns whether a span of this kind counts as failed. For a client every code but OK is an error; for a server only
/// those that are its own fault.
pub(super) fn is_error(kind: SpanKind, code: Code) -> bool {
    match kind {
        SpanKind::Client => code != Code::Ok,
        SpanKind::Server => matches!(
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

/// Returns the name of a code as the gRPC specification spells it, such as `DEADLINE_EXCEEDED`.
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
