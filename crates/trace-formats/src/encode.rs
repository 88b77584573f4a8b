//! From messages to bytes.

use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, TracesData};
use prost::Message as _;

use crate::{jaeger, otlp};

/// Returns the spans as a document of OTLP JSON, in one line: several of them in as many lines are what the collector's
/// file exporter writes.
pub fn otlp_json(spans: &[ResourceSpans]) -> String {
    json(&otlp::to_json::TracesData(spans))
}

/// Returns the spans as a message of OTLP protobuf.
pub fn otlp_protobuf(spans: Vec<ResourceSpans>) -> Vec<u8> {
    TracesData { resource_spans: spans }.encode_to_vec()
}

/// Returns the traces as a document that Jaeger's UI opens.
///
/// Jaeger's format has microseconds: what is below is cut off, of all times alike, so that their order stays. It has no
/// place for schema URLs, the attributes of scopes, links without ids, and counts of what was dropped but for those of spans
/// and of links that have anything else. Everything else comes back when it is read again, in the order of the traces.
pub fn jaeger_json(spans: &[ResourceSpans]) -> String {
    json(&jaeger::encode::document(spans))
}

fn json(document: &impl serde::Serialize) -> String {
    serde_json::to_string(document).expect("these documents have no keys but texts")
}
