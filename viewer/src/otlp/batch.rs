//! A request's bytes as chunks of spans, one for each trace.
//!
//! Only what the store needs is read here. Each span's bytes are kept as they came, so that nothing is lost and nothing
//! is held in a form larger than the wire's.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use bytes::Bytes;
use opentelemetry_proto::tonic::{common::v1::InstrumentationScope, resource::v1::Resource, trace::v1::Span};
use prost::Message;

use crate::store::{
    chunk::{Chunk, Head},
    source::{Source, Sources},
};

/// `ExportTraceServiceRequest`, and `TracesData`, with messages inside as bytes.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct RawRequest {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub(crate) resource_spans: Vec<Bytes>,
}

/// `ResourceSpans`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct RawResourceSpans {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub(crate) resource: Option<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub(crate) scope_spans: Vec<Bytes>,
    #[prost(string, tag = "3")]
    pub(crate) schema_url: String,
}

/// `ScopeSpans`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct RawScopeSpans {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub(crate) scope: Option<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub(crate) spans: Vec<Bytes>,
    #[prost(string, tag = "3")]
    pub(crate) schema_url: String,
}

/// The spans of a request.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// In the order in which their traces first appear.
    pub(crate) chunks: Vec<([u8; 16], Chunk)>,
    /// How many spans are in the chunks.
    pub(crate) spans: u64,
    /// How many spans have no valid id.
    pub(crate) rejected: u64,
    /// Why, of the first of them.
    pub(crate) reason: Option<String>,
    /// The spans' names, by service.
    pub(crate) names: BTreeMap<Arc<str>, HashSet<String>>,
}

/// Decodes a request's bytes. `hasher` is the same for all batches of a store.
///
/// # Errors
///
/// Returns an error if the bytes are not a request, or one of its spans is not a span.
pub(crate) fn decode(bytes: Bytes, sources: &Sources, hasher: &RandomState) -> Result<Batch, prost::DecodeError> {
    let mut batch = Batch::default();
    let mut index: HashMap<[u8; 16], usize> = HashMap::new();
    let mut traces: Vec<([u8; 16], Vec<Head>, Vec<u8>)> = Vec::new();
    for bytes in RawRequest::decode(bytes)?.resource_spans {
        let resource_spans = RawResourceSpans::decode(bytes)?;
        let resource = resource_spans.resource.unwrap_or_default();
        let decoded = Resource::decode(resource.clone())?;
        for bytes in resource_spans.scope_spans {
            let scope_spans = RawScopeSpans::decode(bytes)?;
            let scope = scope_spans.scope.unwrap_or_default();
            InstrumentationScope::decode(scope.clone())?;
            let source = sources
                .intern(&Source::new(&resource, &resource_spans.schema_url, &scope, &scope_spans.schema_url), &decoded);
            for raw in scope_spans.spans {
                let span = Span::decode(raw.clone())?;
                let trace_id = match trace_id(&span) {
                    Ok(id) => id,
                    Err(reason) => {
                        batch.rejected += 1;
                        batch.reason.get_or_insert(reason);
                        continue;
                    }
                };
                let at = *index.entry(trace_id).or_insert_with(|| {
                    traces.push((trace_id, Vec::new(), Vec::new()));
                    traces.len() - 1
                });
                let (_, heads, bytes) = &mut traces[at];
                heads.push(Head {
                    parent: span.parent_span_id.as_slice().try_into().unwrap_or_default(),
                    start: span.start_time_unix_nano,
                    end: span.end_time_unix_nano,
                    at: u32::try_from(bytes.len()).expect("a request has less than 4 GiB"),
                    len: u32::try_from(raw.len()).expect("a request has less than 4 GiB"),
                    identity: hasher.hash_one(&*raw),
                    error: span.status.as_ref().is_some_and(|status| status.code == 2),
                    source: source.clone(),
                });
                bytes.extend_from_slice(&raw);
                batch.spans += 1;
                let names = batch.names.entry(Arc::clone(&source.service)).or_default();
                if !names.contains(&span.name) {
                    names.insert(span.name);
                }
            }
        }
    }
    batch.chunks = traces.into_iter().map(|(id, heads, bytes)| (id, Chunk::new(heads, bytes))).collect();
    Ok(batch)
}

/// Returns the id of the trace, if all ids of the span are valid.
fn trace_id(span: &Span) -> Result<[u8; 16], String> {
    let trace_id: [u8; 16] = span.trace_id.as_slice().try_into().unwrap_or_default();
    let span_id: [u8; 8] = span.span_id.as_slice().try_into().unwrap_or_default();
    let name = || span.name.chars().take(100).collect::<String>();
    if trace_id == [0; 16] {
        return Err(format!("span '{}': trace_id has {} bytes or is zero: expected 16", name(), span.trace_id.len()));
    }
    if span_id == [0; 8] {
        return Err(format!("span '{}': span_id has {} bytes or is zero: expected 8", name(), span.span_id.len()));
    }
    if !matches!(span.parent_span_id.len(), 0 | 8) {
        let len = span.parent_span_id.len();
        return Err(format!("span '{}': parent_span_id has {len} bytes: expected 8 or none", name()));
    }
    Ok(trace_id)
}
