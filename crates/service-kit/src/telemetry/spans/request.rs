//! What is around the spans of an export: the resource and the scope, which never change.

use bytes::Bytes;
use opentelemetry_proto::{
    tonic::{
        common::v1::InstrumentationScope,
        resource::v1::Resource as ResourceMessage,
        trace::v1::{ResourceSpans, ScopeSpans},
    },
    transform::common::tonic::ResourceAttributesWithSchema,
};
use opentelemetry_sdk::Resource;
use prost::Message as _;

use super::otlp::{length_delimited, put_length};

/// `ExportTraceServiceRequest.resource_spans`.
const RESOURCE_SPANS: u32 = 1;
/// `ResourceSpans.scope_spans`.
const SCOPE_SPANS: u32 = 2;

/// The parts of an `ExportTraceServiceRequest` that are the same for each.
#[derive(Debug)]
pub(super) struct Envelope {
    /// A `ResourceSpans` without its scopes.
    resource: Vec<u8>,
    /// A `ScopeSpans` without its spans.
    scope: Vec<u8>,
}

// === impl Envelope ===

impl Envelope {
    /// Spans are of this process, and were recorded under this name.
    pub(super) fn new(resource: &Resource, scope: &str) -> Self {
        let ResourceAttributesWithSchema { attributes, schema_url } = resource.into();
        let resource = ResourceMessage { attributes: attributes.0, ..ResourceMessage::default() };
        let schema_url = schema_url.unwrap_or_default();
        let resource = ResourceSpans { resource: Some(resource), schema_url, ..ResourceSpans::default() };
        let scope = InstrumentationScope { name: scope.to_owned(), ..InstrumentationScope::default() };
        let scope = ScopeSpans { scope: Some(scope), ..ScopeSpans::default() };
        Self { resource: resource.encode_to_vec(), scope: scope.encode_to_vec() }
    }

    /// Returns what precedes this many bytes of spans.
    pub(super) fn head(&self, spans: usize) -> Bytes {
        let mut head = Vec::with_capacity(self.resource.len() + self.scope.len() + 32);
        let scope_len = self.scope.len() + spans;
        put_length(&mut head, RESOURCE_SPANS, self.resource.len() + length_delimited(SCOPE_SPANS, scope_len));
        head.extend_from_slice(&self.resource);
        put_length(&mut head, SCOPE_SPANS, scope_len);
        head.extend_from_slice(&self.scope);
        head.into()
    }
}
