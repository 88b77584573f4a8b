//! Sends batches of spans to the collector, over gRPC.

use std::{
    error::Error,
    fmt::{self, Write as _},
    time::{Duration, Instant},
};

use bytes::{BufMut as _, Bytes};
use http::uri::PathAndQuery;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message as _;
use rpc_layers::trace::code_name;
use tokio::time::sleep;
use tonic::{
    Code, Request, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    service::interceptor::InterceptedService,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt as _;

use super::{
    super::{
        collector::{Collector, Headers},
        error::TelemetryError,
    },
    queue::Batch,
    request::Envelope,
};

const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// How often a batch is sent again, and how long that waits at first, and at most unless the collector asks for more.
const RETRIES: u32 = 3;
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_millis(1_600);
const LONGEST_ASKED: Duration = Duration::from_secs(30);

/// Sends to one collector.
#[derive(Debug)]
pub(super) struct Sender {
    endpoint: Endpoint,
    headers: Headers,
    client: Client,
    envelope: Envelope,
    /// How long a batch may take, with all attempts.
    timeout: Duration,
}

type Client = Grpc<InterceptedService<Channel, Headers>>;

/// Why a batch was not taken.
///
/// The collector's message is not part of it: it may repeat what was sent, such as a token.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    /// The call failed.
    #[error("the export failed with {}{}", code_name(.0.code()), Causes(.0))]
    Status(Status),
    /// There was no answer in time.
    #[error("the collector did not answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// The collector took only a part of it.
    #[error("the collector rejected {0} spans")]
    Rejected(u64),
}

/// The causes of a failure on this side, such as of TLS.
struct Causes<'a>(&'a Status);

// === impl Sender ===

impl Sender {
    /// Creates the way to a collector, which is connected to when there is something to send.
    pub(super) fn new(collector: Collector, envelope: Envelope, timeout: Duration) -> Result<Self, TelemetryError> {
        let Collector { endpoint, tls, headers } = collector;
        let agent = concat!("OTel-OTLP-Exporter-Rust/", env!("CARGO_PKG_VERSION"));
        let endpoint = Endpoint::from_shared(endpoint).and_then(|endpoint| endpoint.user_agent(agent));
        let endpoint = endpoint.and_then(|endpoint| match tls {
            Some(tls) => endpoint.tls_config(tls),
            None => Ok(endpoint),
        });
        let endpoint = endpoint.map_err(|error| TelemetryError::Collector(chain(&error)))?.connect_timeout(timeout);
        let client = client(&endpoint, &headers);
        Ok(Self { endpoint, headers, client, envelope, timeout })
    }

    /// Sends a batch, and again if it failed for a reason that may pass.
    pub(super) async fn send(&mut self, batch: Batch) -> Result<(), SendError> {
        let begun = Instant::now();
        let head = self.envelope.head(batch.encoded.len());
        let request = Encoded { head, spans: batch.encoded.into() };
        let mut wait = FIRST_WAIT;
        for attempt in 0.. {
            let left = self.timeout.saturating_sub(begun.elapsed());
            let status = match tokio::time::timeout(left, self.try_send(request.clone())).await {
                Ok(Ok(response)) => return accepted(response),
                Ok(Err(status)) => status,
                Err(_) => {
                    // Whatever holds it up may be the connection, whose loss would be noticed after minutes.
                    self.client = client(&self.endpoint, &self.headers);
                    return Err(SendError::TimedOut(self.timeout));
                }
            };
            let left = self.timeout.saturating_sub(begun.elapsed());
            match again_after(&status, wait).filter(|pause| attempt < RETRIES && *pause < left) {
                Some(pause) => sleep(pause).await,
                None => return Err(SendError::Status(status)),
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
        unreachable!("the loop ends with a result")
    }

    async fn try_send(&mut self, request: Encoded) -> Result<ExportTraceServiceResponse, Status> {
        self.client.ready().await.map_err(|error| Status::from_error(error.into()))?;
        let path = PathAndQuery::from_static(EXPORT);
        self.client.unary(Request::new(request), path, Protobuf).await.map(tonic::Response::into_inner)
    }
}

/// Returns a client that connects when it is first used.
fn client(endpoint: &Endpoint, headers: &Headers) -> Client {
    Grpc::new(InterceptedService::new(endpoint.connect_lazy(), headers.clone()))
}

fn accepted(response: ExportTraceServiceResponse) -> Result<(), SendError> {
    let rejected = response.partial_success.map_or(0, |part| part.rejected_spans);
    match u64::try_from(rejected) {
        Ok(0) | Err(_) => Ok(()),
        Ok(rejected) => Err(SendError::Rejected(rejected)),
    }
}

/// Returns after which time a batch may be sent again, if OTLP says that it may: no earlier than the collector asks for,
/// and without being asked after `wait` and a little chance, so that not all processes come at once.
///
/// Source: <https://opentelemetry.io/docs/specs/otlp/#failures>.
fn again_after(status: &Status, wait: Duration) -> Option<Duration> {
    let asked_for = status.get_details_retry_info().and_then(|info| info.retry_delay);
    let chance = Duration::from_millis(rand::random_range(0..=100));
    let later = |asked_for: Duration| asked_for.clamp(wait, LONGEST_ASKED) + chance;
    match status.code() {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => Some(later(asked_for.unwrap_or(wait))),
        // The connection broke: no collector has said so.
        Code::Unknown if status.source().is_some() => Some(later(wait)),
        // Recovery is possible only if the collector says so.
        Code::ResourceExhausted => asked_for.map(later),
        Code::Ok
        | Code::Unknown
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::Unimplemented
        | Code::Internal
        | Code::Unauthenticated => None,
    }
}

// === impl SendError ===

impl SendError {
    /// Returns how many of these spans were lost.
    pub(super) fn lost(&self, spans: usize) -> u64 {
        match self {
            Self::Status(_) | Self::TimedOut(_) => spans as u64,
            Self::Rejected(rejected) => *rejected,
        }
    }
}

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.source().map_or(Ok(()), |source| write!(f, ": {}", chain(source)))
    }
}

/// Returns an error with its causes.
fn chain(error: &dyn Error) -> String {
    let (mut text, mut next) = (error.to_string(), error.source());
    while let Some(error) = next {
        let _ = write!(text, ": {error}");
        next = error.source();
    }
    text
}

/// A request that is encoded already.
#[derive(Clone, Debug)]
struct Encoded {
    head: Bytes,
    spans: Bytes,
}

/// Sends bytes as they are, and decodes the answer.
#[derive(Clone, Copy, Debug)]
struct Protobuf;

impl Codec for Protobuf {
    type Encode = Encoded;
    type Decode = ExportTraceServiceResponse;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Protobuf {
    type Item = Encoded;
    type Error = Status;

    fn encode(&mut self, Encoded { head, spans }: Encoded, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.reserve(head.len() + spans.len());
        buffer.put(head);
        buffer.put(spans);
        Ok(())
    }
}

impl Decoder for Protobuf {
    type Item = ExportTraceServiceResponse;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Self::Item>, Status> {
        let response = ExportTraceServiceResponse::decode(buffer);
        response.map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn what_otlp_calls_retryable_is_sent_again() {
        let wait = Duration::from_secs(1);
        let asking = |code, delay| {
            let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(delay)));
            again_after(&Status::with_error_details(code, "", details), wait).map(|pause| pause.as_secs())
        };
        assert_eq!(again_after(&Status::unavailable(""), wait).map(|pause| pause.as_secs()), Some(1));
        assert_eq!(asking(Code::Unavailable, 5), Some(5));
        assert_eq!(again_after(&Status::resource_exhausted(""), wait), None);
        assert_eq!((asking(Code::ResourceExhausted, 3), asking(Code::ResourceExhausted, 0)), (Some(3), Some(1)));
        assert_eq!(asking(Code::ResourceExhausted, 3600), Some(30));
        for code in [Code::InvalidArgument, Code::Internal, Code::Unimplemented, Code::Unauthenticated] {
            assert_eq!(asking(code, 1), None, "{code:?}");
        }
    }

    #[test]
    fn no_error_repeats_what_the_collector_says() {
        let error = SendError::Status(Status::unauthenticated("no hunter2"));
        assert_eq!(error.to_string(), "the export failed with UNAUTHENTICATED");
        let error = SendError::Status(Status::from_error(std::io::Error::other("refused").into()));
        assert_eq!(error.to_string(), "the export failed with UNKNOWN: refused");
    }
}
