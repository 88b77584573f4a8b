//! One trace, with the verdict on it.

use std::collections::HashMap;

use http::{
    HeaderValue, Response,
    header::{CONTENT_DISPOSITION, CONTENT_TYPE},
};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, span};
use overlap::{FanOut, Span, SpanId, SpanIndex, SpanKind, Trace, TraceId, text};
use serde::Serialize;

use crate::{
    analyst::{Analysed, messages},
    api::{
        Context,
        respond::ApiError,
        span::{Origin, SourceDocument, SpanDocument},
        traces::{Summary, nanos},
    },
    body::{Body, full},
};

/// How many spans of a trace are shown. A download has all.
const MAX_SHOWN: usize = 20_000;

/// A trace, with the verdict on it.
#[derive(Debug, Serialize)]
pub(crate) struct TraceDocument {
    trace: Summary,
    /// Depth first.
    spans: Vec<SpanDocument>,
    /// The resources and scopes of the spans.
    sources: Vec<SourceDocument>,
    /// How many bytes these have when they are encoded.
    #[serde(skip)]
    pub(super) source_bytes: usize,
    critical_path: Vec<SegmentDocument>,
    fan_outs: Vec<FanOutDocument>,
    problems: Vec<String>,
    verdict: Vec<String>,
}

#[derive(Debug, Serialize)]
struct SegmentDocument {
    span_id: String,
    start_offset: u64,
    duration: u64,
}

#[derive(Debug, Serialize)]
struct FanOutDocument {
    span_id: String,
    calls: Vec<String>,
    wall: u64,
    sum: u64,
    union: u64,
    saved: u64,
    avoidable: u64,
    overlaps: Vec<OverlapDocument>,
    sequences: Vec<SequenceDocument>,
}

#[derive(Debug, Serialize)]
struct OverlapDocument {
    start_offset: u64,
    duration: u64,
    calls: usize,
}

#[derive(Debug, Serialize)]
struct SequenceDocument {
    calls: Vec<String>,
    took: u64,
    together: u64,
    certainty: &'static str,
    sentence: String,
}

/// Where spans come from, by their traces and ids.
pub(super) struct Origins<'a>(HashMap<(TraceId, SpanId), Vec<Origin<'a>>>);

/// Returns the document of `/api/traces/{id}`.
pub(super) fn document(context: &Context, id: &str) -> Result<TraceDocument, ApiError> {
    let (id, spans) = find(context, id)?;
    let analysed = context.analyst.analyse(id, &spans);
    Ok(TraceDocument::new(&analysed, &Origins::of(&spans), MAX_SHOWN))
}

/// Returns the trace as OTLP JSON, to be saved.
pub(super) fn download(context: &Context, id: &str) -> Result<Response<Body>, ApiError> {
    let (id, spans) = find(context, id)?;
    let mut response = Response::new(full(trace_formats::encode::otlp_json(&spans)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let disposition = format!("attachment; filename=\"trace-{}.json\"", TraceId(id));
    headers.insert(CONTENT_DISPOSITION, disposition.parse().expect("an id is hexadecimal"));
    Ok(response)
}

fn find(context: &Context, id: &str) -> Result<([u8; 16], Vec<ResourceSpans>), ApiError> {
    let TraceId(id) = id.parse().map_err(|error: overlap::span::IdError| ApiError::field("id", error.to_string()))?;
    let snapshot = context.store.trace(id).ok_or_else(|| {
        ApiError::not_found(format!("there is no trace {}: it has made room, or has not come", TraceId(id)))
    })?;
    Ok((id, messages(&snapshot)))
}

// === impl TraceDocument ===

impl TraceDocument {
    /// Returns the document of a trace whose spans come from these origins, with at most so many of them.
    pub(super) fn new(analysed: &Analysed, origins: &Origins<'_>, max: usize) -> Self {
        let Analysed { trace, analysis } = analysed;
        let (start, _) = trace.bounds();
        let (mut sources, mut source_bytes, mut places) = (Vec::new(), 0, HashMap::new());
        let mut documents = Vec::new();
        for index in trace.indices().take(max) {
            let origin = origins.find(trace.span(index));
            let source = origin.map(|origin| {
                *places.entry(origin.source).or_insert_with(|| {
                    sources.push(SourceDocument::new(origin));
                    source_bytes += origin.source_len();
                    sources.len() - 1
                })
            });
            documents.push(SpanDocument::new(trace, index, origin.map(|origin| origin.span), source, start));
        }
        let mut problems: Vec<String> = trace.problems().iter().map(ToString::to_string).collect();
        if trace.spans().len() > max {
            let all = text::number(trace.spans().len() as u64);
            problems.push(format!("{} of {all} spans are shown; the download has all.", text::number(max as u64)));
        }
        let is_shown = |index: SpanIndex| index.get() < max;
        let segments = analysis.critical_path().iter().filter(|segment| is_shown(segment.span));
        let fan_outs = analysis.fan_outs().iter().filter(|fan_out| is_shown(fan_out.parent));
        Self {
            trace: Summary::of(analysed),
            spans: documents,
            sources,
            source_bytes,
            critical_path: segments
                .map(|segment| SegmentDocument {
                    span_id: trace.span(segment.span).span_id.to_string(),
                    start_offset: segment.start.saturating_sub(start),
                    duration: segment.end.saturating_sub(segment.start),
                })
                .collect(),
            fan_outs: fan_outs.map(|fan_out| FanOutDocument::new(trace, fan_out, start, is_shown)).collect(),
            problems,
            verdict: text::verdict(trace, analysis),
        }
    }
}

// === impl Origins ===

impl<'a> Origins<'a> {
    pub(super) fn of(spans: &'a [ResourceSpans]) -> Self {
        let mut origins: HashMap<_, Vec<Origin<'a>>> = HashMap::new();
        let scopes = spans.iter().flat_map(|group| group.scope_spans.iter().map(move |scope| (group, scope)));
        for (source, (group, scope)) in scopes.enumerate() {
            let (resource, scope, spans) = (group.resource.as_ref(), scope.scope.as_ref(), &scope.spans);
            for span in spans {
                let trace_id = TraceId(span.trace_id.as_slice().try_into().unwrap_or_default());
                let id = SpanId(span.span_id.as_slice().try_into().unwrap_or_default());
                origins.entry((trace_id, id)).or_default().push(Origin { resource, scope, source, span });
            }
        }
        Self(origins)
    }

    /// Returns where a span comes from. Several may have its id, and a server's span that had its client's has got another
    /// one, with the client's as its parent.
    fn find(&self, span: &Span) -> Option<&Origin<'a>> {
        let with_id = |id| self.0.get(&(span.trace_id, id)).map_or(&[][..], Vec::as_slice);
        let (own, of_parent) = (with_id(span.span_id), span.parent.map_or(&[][..], with_id));
        let is_it = |origin: &&Origin<'a>| {
            let message = origin.span;
            let duration = message.end_time_unix_nano.saturating_sub(message.start_time_unix_nano);
            kind(message) == span.kind
                && message.name == *span.name
                && origin.service() == &*span.service
                && duration == span.nanos()
        };
        own.iter().chain(of_parent).find(is_it).or(own.first())
    }
}

fn kind(span: &opentelemetry_proto::tonic::trace::v1::Span) -> SpanKind {
    match span.kind() {
        span::SpanKind::Unspecified => SpanKind::Unspecified,
        span::SpanKind::Internal => SpanKind::Internal,
        span::SpanKind::Server => SpanKind::Server,
        span::SpanKind::Client => SpanKind::Client,
        span::SpanKind::Producer => SpanKind::Producer,
        span::SpanKind::Consumer => SpanKind::Consumer,
    }
}

// === impl FanOutDocument ===

impl FanOutDocument {
    fn new(trace: &Trace, fan_out: &FanOut, start: u64, is_shown: impl Fn(SpanIndex) -> bool) -> Self {
        let ids = |calls: &[SpanIndex]| -> Vec<String> {
            let shown = calls.iter().filter(|call| is_shown(**call));
            shown.map(|call| trace.span(*call).span_id.to_string()).collect()
        };
        let overlaps = fan_out.overlaps().into_iter().map(|overlap| OverlapDocument {
            start_offset: overlap.start.saturating_sub(start),
            duration: overlap.end.saturating_sub(overlap.start),
            calls: overlap.calls,
        });
        let sequences = fan_out.sequences.iter().map(|sequence| SequenceDocument {
            calls: ids(&sequence.calls),
            took: nanos(sequence.took),
            together: nanos(sequence.together),
            certainty: sequence.certainty.as_str(),
            sentence: text::sequence(trace, sequence),
        });
        Self {
            span_id: trace.span(fan_out.parent).span_id.to_string(),
            calls: ids(&fan_out.calls),
            wall: nanos(fan_out.wall),
            sum: nanos(fan_out.sum),
            union: nanos(fan_out.union),
            saved: nanos(fan_out.saved),
            avoidable: nanos(fan_out.avoidable),
            overlaps: overlaps.collect(),
            sequences: sequences.collect(),
        }
    }
}
