//! Errors of the gateway, and the gRPC status of each.

use std::{collections::HashMap, error::Error as StdError, fmt};

use fan_out::CallError;
use fanout_proto::gateway::v1::FanOutReport;
use fault_injection::InvalidBaggage;
use grpc_channel::{Cause, Failure};
use prost::Message as _;
use prost_types::Any;
use rpc_layers::baggage::BaggageTooLong;
use tonic::{Code, Status, metadata::MetadataValue};
use tonic_types::{BadRequest, FieldViolation, pb};

/// The `domain` of the gateway's own errors in `google.rpc.ErrorInfo`.
const DOMAIN: &str = "fanout.gateway.v1";

/// The trailer of a failed request with the encoded report.
const REPORT_TRAILER: &str = "fanout-report-bin";

/// The maximum size of the report in a trailer, in bytes. Many clients allow 8 KiB of metadata, and base64 adds a third.
const MAX_REPORT_LEN: usize = 5 * 1024;

/// The reason why a request fails.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Fields of the request, or overrides in its baggage, are invalid.
    #[error("{}", summary(.0))]
    Invalid(Vec<FieldViolation>),
    /// A call failed, and the failure policy is fail-fast.
    #[error("{}", .0)]
    Call(Box<CallFailure>),
}

/// The failed call of a failed request.
#[derive(Debug)]
pub struct CallFailure {
    name: String,
    error: CallError<BackendError>,
    report: FanOutReport,
}

/// The error of a call to a backend.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{}", .0.message)]
pub struct BackendError(pb::Status);

// === impl Error ===

impl Error {
    /// Returns the error for a call with this name.
    pub fn call(name: String, error: CallError<BackendError>, report: FanOutReport) -> Self {
        Self::Call(Box::new(CallFailure { name, error, report }))
    }

    /// Returns the error for a caller without an identity that asks for delays or faults.
    pub(crate) fn overrides_without_identity() -> Self {
        Self::Invalid(vec![FieldViolation::new("baggage", "overrides are for callers with an identity only")])
    }
}

/// Describes the first violation, and names the fields of the others. The details of the status describe all, and the
/// metadata of a reply has little space.
fn summary(violations: &[FieldViolation]) -> String {
    let Some((first, others)) = violations.split_first() else { return String::new() };
    let first = format!("{}: {}", first.field, first.description);
    let others: Vec<_> = others.iter().map(|violation| violation.field.as_str()).collect();
    if others.is_empty() { first } else { format!("{first} (also wrong: {})", others.join(", ")) }
}

impl From<InvalidBaggage> for Error {
    fn from(invalid: InvalidBaggage) -> Self {
        Self::Invalid(vec![FieldViolation::new(invalid.field(), invalid.description())])
    }
}

impl From<BaggageTooLong> for Error {
    fn from(error: BaggageTooLong) -> Self {
        Self::Invalid(vec![FieldViolation::new("baggage", error.to_string())])
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::Invalid(violations) => {
                let (reason, domain) = ("INVALID_REQUEST".to_owned(), DOMAIN.to_owned());
                let info = pb::ErrorInfo { reason, domain, metadata: HashMap::new() };
                let fields = pb::BadRequest::from(BadRequest::new(violations));
                let details = vec![detail("ErrorInfo", &info), detail("BadRequest", &fields)];
                to_status(&status(Code::InvalidArgument, message, details))
            }
            Error::Call(failure) => failure.into_status(),
        }
    }
}

// === impl CallFailure ===

impl CallFailure {
    fn into_status(self) -> Status {
        let mut status = to_status(&call_status(&self.name, &self.error));
        let value = MetadataValue::from_bytes(&encode(self.report));
        status.metadata_mut().insert_bin(REPORT_TRAILER, value);
        status
    }
}

impl fmt::Display for CallFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.error)
    }
}

/// Encodes the report. If it is too long, leaves out the calls that did not fail, or all calls.
fn encode(mut report: FanOutReport) -> Vec<u8> {
    if report.encoded_len() > MAX_REPORT_LEN {
        report.calls.retain(|call| call.error.is_some());
    }
    if report.encoded_len() > MAX_REPORT_LEN {
        report.calls.clear();
    }
    report.encode_to_vec()
}

/// Returns the status of a failed call. It names the call.
pub fn call_status(name: &str, error: &CallError<BackendError>) -> pb::Status {
    let own = |code, reason: &str| {
        let mut details = Vec::new();
        name_backend(&mut details, name, reason);
        status(code, format!("{name}: {error}"), details)
    };
    match error {
        CallError::Failed(BackendError(status)) => status.clone(),
        CallError::Panicked(_) => own(Code::Internal, "CALL_PANICKED"),
        // Calls are cancelled after another call's failure, which is then the request's error, or if the runtime ends.
        CallError::Cancelled => own(Code::Unavailable, "CALL_CANCELLED"),
        CallError::Skipped => own(Code::Unavailable, "CALL_SKIPPED"),
    }
}

// === impl BackendError ===

impl BackendError {
    /// Returns the error for a failed call to this backend.
    pub(crate) fn new(name: &str, url: &str, failure: &Failure) -> Self {
        let Failure { status, cause } = failure;
        let mut error = pb::Status::decode(status.details()).unwrap_or_else(|error| {
            tracing::warn!(backend = name, %error, "the details of a backend's error cannot be read and are left out");
            pb::Status::default()
        });
        let (reason, what) = match cause {
            Cause::Answered(_) | Cause::Late | Cause::Internal => ("BACKEND_FAILED", name.to_owned()),
            Cause::Unsent | Cause::Unreachable => {
                ("BACKEND_UNREACHABLE", format!("the {name} service at {url} is unreachable"))
            }
            Cause::Lost => {
                ("BACKEND_CONNECTION_LOST", format!("the connection to the {name} service at {url} was lost"))
            }
            Cause::Malformed => ("BACKEND_MALFORMED_REPLY", name.to_owned()),
            Cause::Shed => ("BACKEND_OVERLOADED", format!("{name}: the call was not made")),
            Cause::CircuitOpen => ("BACKEND_CIRCUIT_OPEN", format!("{name}: the call was not made")),
        };
        error.code = status.code().into();
        error.message = format!("{what}: {}", status.message());
        name_backend(&mut error.details, name, reason);
        Self(error)
    }

    /// Returns the error for a reply that cannot be decoded.
    pub(crate) fn malformed(name: &str, error: &dyn StdError) -> Self {
        let mut details = Vec::new();
        name_backend(&mut details, name, "BACKEND_MALFORMED_REPLY");
        Self(status(Code::Internal, format!("{name}: the reply cannot be read: {error}"), details))
    }
}

/// Adds the name of the backend to the `ErrorInfo` that it sent, or adds an `ErrorInfo`. A status may have only one detail
/// of each type (google.aip.dev/193).
fn name_backend(details: &mut Vec<Any>, name: &str, reason: &str) {
    let is_info = |detail: &Any| detail.type_url.ends_with("/google.rpc.ErrorInfo");
    let position = details.iter().position(is_info);
    let sent = position.and_then(|position| pb::ErrorInfo::decode(&details[position].value[..]).ok());
    let mut info = sent.unwrap_or_else(|| pb::ErrorInfo {
        reason: reason.to_owned(),
        domain: DOMAIN.to_owned(),
        metadata: HashMap::new(),
    });
    info.metadata.insert("backend".to_owned(), name.to_owned());
    let info = detail("ErrorInfo", &info);
    match position {
        Some(position) => details[position] = info,
        None => details.insert(0, info),
    }
}

fn status(code: Code, message: String, details: Vec<Any>) -> pb::Status {
    pb::Status { code: code.into(), message, details }
}

fn detail(name: &str, message: &impl prost::Message) -> Any {
    Any { type_url: format!("type.googleapis.com/google.rpc.{name}"), value: message.encode_to_vec() }
}

fn to_status(status: &pb::Status) -> Status {
    let details = status.encode_to_vec().into();
    Status::with_details(Code::from_i32(status.code), status.message.clone(), details)
}
