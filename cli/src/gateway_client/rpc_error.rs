//! An RPC that failed: its code, its message and, from the gateway, its report.

use std::error::Error as _;

use prost::Message as _;
use tonic::{Code, Status, TimeoutExpired};

use crate::gateway_client::report::Report;

/// The trailer in which the gateway sends the report of a request that failed.
const REPORT_TRAILER: &str = "fanout-report-bin";

/// What is said where the time ran out here, without a word from the gateway.
const LATE: &str = "no reply within --timeout";

/// Why an RPC failed.
#[derive(Clone, Debug, PartialEq)]
pub struct RpcError {
    /// The gRPC status code. Never [`Code::Ok`].
    pub code: Code,
    /// What went wrong, in words for a developer.
    pub message: String,
    /// What was called until then, where the gateway said so.
    pub report: Option<Report>,
}

// === impl RpcError ===

impl RpcError {
    /// Reads a status and its trailers.
    pub fn new(status: &Status) -> Self {
        let trailer = status.metadata().get_bin(REPORT_TRAILER).and_then(|value| value.to_bytes().ok());
        // A trailer that cannot be read is like none: the failure itself is what matters.
        let report = trailer.and_then(|bytes| fanout_proto::gateway::v1::FanOutReport::decode(bytes).ok());
        let (code, message) = read(status);
        Self { code, message, report: report.map(Report::from) }
    }

    /// No reply came in time.
    pub fn deadline_exceeded() -> Self {
        Self { code: Code::DeadlineExceeded, message: LATE.to_owned(), report: None }
    }
}

/// The code and the message, where tonic's own timer is told from a cancellation: it ends
/// a call as CANCELLED, though what passed is the deadline.
pub fn read(status: &Status) -> (Code, String) {
    let mut cause = status.source();
    while let Some(error) = cause {
        if error.is::<TimeoutExpired>() {
            return (Code::DeadlineExceeded, LATE.to_owned());
        }
        cause = error.source();
    }
    (status.code(), status.message().to_owned())
}
