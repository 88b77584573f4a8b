//! The error of a failed RPC: code, message and the gateway's report.

use prost::Message as _;
use rpc_layers::source;
use tonic::{Code, Status, TimeoutExpired};

use crate::gateway_client::report::Report;

/// The trailer in which the gateway sends the report of a failed request.
const REPORT_TRAILER: &str = "fanout-report-bin";

/// The message if the timeout passes here before the gateway replies.
const NO_REPLY: &str = "no reply within --timeout";

/// The message if the server has no such method and does not say so.
const NO_METHOD: &str = "the server has no such method: it is an older gateway, or none of this project";

/// Why an RPC failed.
#[derive(Clone, Debug, PartialEq)]
pub struct RpcError {
    /// The gRPC status code. Never [`Code::Ok`].
    pub code: Code,
    /// What went wrong.
    pub message: String,
    /// The calls until the failure, if the gateway sent a report.
    pub report: Option<Report>,
}

// === impl RpcError ===

impl RpcError {
    /// Reads the status and its trailers.
    pub fn new(status: &Status) -> Self {
        let trailer = status.metadata().get_bin(REPORT_TRAILER).and_then(|value| value.to_bytes().ok());
        // A report that cannot be decoded is ignored: the failure itself matters more.
        let report = trailer.and_then(|bytes| fanout_proto::gateway::v1::FanOutReport::decode(bytes).ok());
        let (code, message) = read(status);
        Self { code, message, report: report.map(Report::from) }
    }

    /// Returns whether the gateway refused the request before it made a call, because it is invalid or because of who its
    /// caller is: it would refuse the same request again.
    pub fn is_rejection(&self) -> bool {
        may_be_rejection(self.code) && self.report.is_none()
    }

    /// Returns the error for a reply that did not arrive in time.
    pub fn deadline_exceeded() -> Self {
        Self { code: Code::DeadlineExceeded, message: NO_REPLY.to_owned(), report: None }
    }
}

/// Returns whether this is a code of [rejections](RpcError::is_rejection), if there is no report.
pub(crate) fn may_be_rejection(code: Code) -> bool {
    matches!(code, Code::InvalidArgument | Code::Unauthenticated | Code::PermissionDenied)
}

/// Returns the code and the message of a status.
///
/// tonic's own timer ends a call with `CANCELLED`; this returns `DEADLINE_EXCEEDED` for it.
pub fn read(status: &Status) -> (Code, String) {
    if source::find::<TimeoutExpired>(status).is_some() {
        return (Code::DeadlineExceeded, NO_REPLY.to_owned());
    }
    let message = match (status.code(), status.message()) {
        // gRPC libraries send this code without words.
        (Code::Unimplemented, "") => NO_METHOD.to_owned(),
        (_, message) => message.to_owned(),
    };
    (status.code(), message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unimplemented_always_has_words() {
        assert_eq!(read(&Status::unimplemented("")), (Code::Unimplemented, NO_METHOD.to_owned()));
        assert_eq!(read(&Status::unimplemented("not yet")), (Code::Unimplemented, "not yet".to_owned()));
    }
}
