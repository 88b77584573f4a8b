//! The kinds of telemetry, and what each has on the wire.

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceResponse};
use prost::Message;
use serde_json::json;

/// A kind of telemetry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    Traces,
    Metrics,
    Logs,
}

/// What of a request was not accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Partial {
    /// How many spans.
    pub(crate) rejected: u64,
    /// Why. Empty if there are none.
    pub(crate) message: String,
}

// === impl Signal ===

impl Signal {
    const ALL: [Self; 3] = [Self::Traces, Self::Metrics, Self::Logs];

    /// Returns the word for it, which is the end of its path over HTTP.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
        }
    }

    pub(crate) fn of_http_path(path: &str) -> Option<Self> {
        let name = path.strip_prefix("/v1/")?;
        Self::ALL.into_iter().find(|signal| signal.name() == name)
    }

    pub(crate) fn of_grpc_path(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|signal| signal.grpc_path() == path)
    }

    /// Returns its path over gRPC.
    pub(crate) fn grpc_path(self) -> &'static str {
        match self {
            Self::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Self::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
            Self::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        }
    }
}

// === impl Partial ===

impl Partial {
    /// Returns the encoded response. The three kinds of response have the same fields.
    pub(crate) fn protobuf(self) -> Bytes {
        let partial_success = (self != Self::default()).then(|| ExportTracePartialSuccess {
            rejected_spans: i64::try_from(self.rejected).unwrap_or(i64::MAX),
            error_message: self.message,
        });
        ExportTraceServiceResponse { partial_success }.encode_to_vec().into()
    }

    /// Returns the response as JSON.
    pub(crate) fn json(self) -> Bytes {
        let document = if self == Self::default() {
            json!({})
        } else {
            // Integers of 64 bits are strings in protobuf's JSON.
            json!({"partialSuccess": {"rejectedSpans": self.rejected.to_string(), "errorMessage": self.message}})
        };
        document.to_string().into()
    }
}
