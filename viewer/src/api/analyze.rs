//! A file that is shown and not kept.

use std::collections::{HashMap, HashSet};

use http::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};
use overlap::{Operations, Trace, TraceId};
use serde::Serialize;
use trace_formats::{DecodeError, Limits};

use crate::{
    analyst::Analysed,
    api::{respond::ApiError, trace::TraceDocument},
};

/// How many bytes a file may have.
pub(super) const MAX_FILE: usize = 32 << 20;

/// What is read of a file, in bytes when decompressed, in spans, and in their parts.
const LIMITS: Limits = Limits { bytes: 64 << 20, span_bytes: 4 << 20, spans: 200_000, items: 3_000_000, problems: 50 };

/// How many traces, and how many spans of all of them, are shown.
const MAX_TRACES: usize = 500;
const MAX_SPANS: usize = 20_000;

/// The document of `/api/analyze`.
#[derive(Debug, Serialize)]
pub(super) struct AnalyzeDocument {
    format: String,
    traces: Vec<TraceDocument>,
    problems: Vec<String>,
}

/// Analyses a file. What its traces show together counts for each, and nothing else.
pub(super) fn document(bytes: &[u8]) -> Result<AnalyzeDocument, ApiError> {
    let decoded = trace_formats::decode(bytes, &LIMITS).map_err(|error| {
        let status = match error {
            DecodeError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            DecodeError::Empty | DecodeError::Unrecognized(_) | DecodeError::Gzip(_) => StatusCode::BAD_REQUEST,
        };
        ApiError::new(status, format!("the file cannot be read: {error}"))
    })?;
    let mut problems: Vec<String> = decoded.problems.iter().map(ToString::to_string).collect();
    if decoded.more_problems > 0 {
        problems.push(format!("{} more like these", decoded.more_problems));
    }
    let traces = by_trace(decoded.spans);
    let mut operations = Operations::default();
    let mut found = Vec::new();
    for (id, spans) in &traces {
        let analysed = Analysed::by(Trace::new(*id, trace_formats::to_overlap(spans)), operations.evidence());
        operations.add(&analysed.trace, &analysed.analysis);
        found.push(analysed.trace);
    }
    let (mut documents, mut left) = (Vec::new(), MAX_SPANS);
    for (trace, (_, spans)) in found.into_iter().zip(&traces).take(MAX_TRACES) {
        if left == 0 {
            break;
        }
        let count = trace.spans().len();
        let analysed = Analysed::by(trace, operations.evidence());
        documents.push(TraceDocument::new(&analysed, spans, left));
        left = left.saturating_sub(count);
    }
    if documents.len() < traces.len() {
        problems.push(format!("{} of {} traces are shown", documents.len(), traces.len()));
    }
    Ok(AnalyzeDocument { format: decoded.format.to_string(), traces: documents, problems })
}

/// Sorts messages by trace, in the order in which each is first seen.
fn by_trace(messages: Vec<ResourceSpans>) -> Vec<(TraceId, Vec<ResourceSpans>)> {
    let mut places: HashMap<TraceId, usize> = HashMap::new();
    let mut traces: Vec<(TraceId, Vec<ResourceSpans>)> = Vec::new();
    for message in messages {
        // Traces that have this scope of this message.
        let mut open: HashSet<(usize, usize)> = HashSet::new();
        for (scope_number, scope) in message.scope_spans.into_iter().enumerate() {
            for span in scope.spans {
                let Ok(id) = span.trace_id.as_slice().try_into().map(TraceId) else { continue };
                let place = *places.entry(id).or_insert_with(|| {
                    traces.push((id, Vec::new()));
                    traces.len() - 1
                });
                let own = &mut traces[place].1;
                let is_open = !open.insert((place, scope_number));
                match own.last_mut().and_then(|last| last.scope_spans.last_mut()).filter(|_| is_open) {
                    Some(scope) => scope.spans.push(span),
                    None => own.push(ResourceSpans {
                        resource: message.resource.clone(),
                        scope_spans: vec![ScopeSpans {
                            scope: scope.scope.clone(),
                            spans: vec![span],
                            schema_url: scope.schema_url.clone(),
                        }],
                        schema_url: message.schema_url.clone(),
                    }),
                }
            }
        }
    }
    traces
}
