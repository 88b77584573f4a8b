//! Writes Jaeger JSON.

use std::collections::{BTreeMap, HashMap};

use opentelemetry_proto::tonic::{
    common::v1::{InstrumentationScope, KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, Span, span, span::SpanKind, status::StatusCode},
};
use prost::Message as _;
use serde::Serialize;

use super::{NO_SERVICE_NAME, key, tag::WrittenTag};
use crate::{
    id::{self, hex, is_valid},
    otlp::to_json,
};

/// The whole document.
#[derive(Serialize)]
pub(crate) struct Document<'a> {
    data: Vec<TraceDocument<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TraceDocument<'a> {
    #[serde(rename = "traceID")]
    trace_id: String,
    spans: Vec<SpanDocument<'a>>,
    processes: BTreeMap<String, ProcessDocument<'a>>,
    warnings: Option<()>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProcessDocument<'a> {
    service_name: &'a str,
    tags: Vec<WrittenTag<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SpanDocument<'a> {
    #[serde(rename = "traceID")]
    trace_id: String,
    #[serde(rename = "spanID")]
    span_id: String,
    /// For a root with references to spans of its own trace, of which one would be read as its parent.
    #[serde(rename = "parentSpanID", skip_serializing_if = "Option::is_none")]
    parent_span_id: Option<&'static str>,
    flags: u32,
    operation_name: &'a str,
    references: Vec<ReferenceDocument<'a>>,
    start_time: u64,
    duration: u64,
    tags: Vec<WrittenTag<'a>>,
    logs: Vec<LogDocument<'a>>,
    #[serde(rename = "processID")]
    process_id: String,
    warnings: Option<()>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReferenceDocument<'a> {
    ref_type: &'static str,
    #[serde(rename = "traceID")]
    trace_id: String,
    #[serde(rename = "spanID")]
    span_id: String,
    /// What Jaeger has no place for, as OTLP JSON. Jaeger ignores it.
    #[serde(skip_serializing_if = "Option::is_none")]
    otlp: Option<to_json::Json<'a, span::Link>>,
}

#[derive(Serialize)]
struct LogDocument<'a> {
    timestamp: u64,
    fields: Vec<WrittenTag<'a>>,
}

/// Returns the document of these spans: a trace for each id, in the order of first appearance.
pub(crate) fn document(spans: &[ResourceSpans]) -> Document<'_> {
    let mut traces: Vec<TraceDocument<'_>> = Vec::new();
    let mut by_id: HashMap<&[u8], usize> = HashMap::new();
    // A resource may come several times.
    let mut resources: HashMap<Vec<u8>, usize> = HashMap::new();
    for group in spans {
        let resource = group.resource.as_ref();
        let number = resources.len() + 1;
        let number = *resources.entry(resource.map(Resource::encode_to_vec).unwrap_or_default()).or_insert(number);
        let process_id = format!("p{number}");
        for scope_spans in &group.scope_spans {
            for span in &scope_spans.spans {
                let index = *by_id.entry(&span.trace_id).or_insert_with(|| {
                    traces.push(TraceDocument::new(&span.trace_id));
                    traces.len() - 1
                });
                let trace = &mut traces[index];
                if !trace.processes.contains_key(&process_id) {
                    trace.processes.insert(process_id.clone(), ProcessDocument::new(resource));
                }
                trace.spans.push(SpanDocument::new(span, scope_spans.scope.as_ref(), &process_id));
            }
        }
    }
    Document { data: traces }
}

// === impl TraceDocument ===

impl TraceDocument<'_> {
    fn new(id: &[u8]) -> Self {
        Self { trace_id: hex(id), spans: Vec::new(), processes: BTreeMap::new(), warnings: None }
    }
}

// === impl ProcessDocument ===

impl<'a> ProcessDocument<'a> {
    fn new(resource: Option<&'a Resource>) -> Self {
        let attributes = resource.map(|resource| &resource.attributes[..]).unwrap_or_default();
        let named =
            attributes.iter().enumerate().find_map(|(index, attribute)| Some((index, service_name(attribute)?)));
        let (at, service_name) = named.map_or((usize::MAX, NO_SERVICE_NAME), |(index, name)| (index, name));
        let others = attributes.iter().enumerate().filter(|(index, _)| *index != at);
        Self { service_name, tags: others.map(|(_, attribute)| WrittenTag::of(attribute)).collect() }
    }
}

fn service_name(attribute: &KeyValue) -> Option<&str> {
    match attribute.value.as_ref()?.value.as_ref()? {
        Value::StringValue(name) if attribute.key == "service.name" && !name.is_empty() => Some(name),
        _ => None,
    }
}

// === impl SpanDocument ===

impl<'a> SpanDocument<'a> {
    fn new(span: &'a Span, scope: Option<&InstrumentationScope>, process_id: &str) -> Self {
        let start_time = micros(span.start_time_unix_nano);
        let has_parent = is_valid(&span.parent_span_id, id::SPAN);
        let parent = has_parent.then(|| ReferenceDocument::parent(span));
        // A reference without ids would be an error to who reads it.
        let is_whole = |link: &&span::Link| is_valid(&link.trace_id, id::TRACE) && is_valid(&link.span_id, id::SPAN);
        let links = || span.links.iter().filter(is_whole);
        let refers_here = links().any(|link| link.trace_id == span.trace_id);
        Self {
            trace_id: hex(&span.trace_id),
            span_id: hex(&span.span_id),
            parent_span_id: (!has_parent && refers_here).then_some(""),
            flags: span.flags,
            operation_name: &span.name,
            references: parent.into_iter().chain(links().map(ReferenceDocument::link)).collect(),
            start_time,
            duration: micros(span.end_time_unix_nano).saturating_sub(start_time),
            tags: tags(span, scope),
            logs: span.events.iter().map(LogDocument::new).collect(),
            process_id: process_id.to_owned(),
            warnings: None,
        }
    }
}

/// Returns the tags: first what is no attribute, so that an attribute of the same name is not taken for it.
fn tags<'a>(span: &'a Span, scope: Option<&InstrumentationScope>) -> Vec<WrittenTag<'a>> {
    let mut tags = Vec::with_capacity(span.attributes.len() + 4);
    let kind = match SpanKind::try_from(span.kind) {
        Ok(SpanKind::Internal) => "internal",
        Ok(SpanKind::Server) => "server",
        Ok(SpanKind::Client) => "client",
        Ok(SpanKind::Producer) => "producer",
        Ok(SpanKind::Consumer) => "consumer",
        Ok(SpanKind::Unspecified) | Err(_) => "",
    };
    let mut text = |key, text: &str| {
        if !text.is_empty() {
            tags.push(WrittenTag::text(key, text));
        }
    };
    text(key::KIND, kind);
    text(key::TRACE_STATE, &span.trace_state);
    if let Some(scope) = scope {
        text(key::SCOPE_NAME, &scope.name);
        text(key::SCOPE_VERSION, &scope.version);
    }
    if let Some(status) = &span.status {
        let code = status.code();
        text(
            key::STATUS_CODE,
            match code {
                StatusCode::Unset => "",
                StatusCode::Ok => "OK",
                StatusCode::Error => "ERROR",
            },
        );
        text(key::STATUS_DESCRIPTION, &status.message);
        if code == StatusCode::Error {
            tags.push(WrittenTag::yes(key::ERROR));
        }
    }
    for (key, count) in [
        (key::DROPPED_ATTRIBUTES, span.dropped_attributes_count),
        (key::DROPPED_EVENTS, span.dropped_events_count),
        (key::DROPPED_LINKS, span.dropped_links_count),
    ] {
        if count > 0 {
            tags.push(WrittenTag::number(key, count));
        }
    }
    tags.extend(span.attributes.iter().map(WrittenTag::of));
    tags
}

// === impl ReferenceDocument ===

impl<'a> ReferenceDocument<'a> {
    fn parent(span: &Span) -> Self {
        let (trace_id, span_id) = (hex(&span.trace_id), hex(&span.parent_span_id));
        Self { ref_type: "CHILD_OF", trace_id, span_id, otlp: None }
    }

    fn link(link: &'a span::Link) -> Self {
        let is_child_of = link.attributes.iter().any(|attribute| {
            let value = attribute.value.as_ref().and_then(|value| value.value.as_ref());
            attribute.key == key::REF_TYPE && matches!(value, Some(Value::StringValue(kind)) if kind == "child_of")
        });
        let has_more = !link.attributes.is_empty() || !link.trace_state.is_empty() || link.flags != 0;
        Self {
            ref_type: if is_child_of { "CHILD_OF" } else { "FOLLOWS_FROM" },
            trace_id: hex(&link.trace_id),
            span_id: hex(&link.span_id),
            otlp: has_more.then_some(to_json::Json(link)),
        }
    }
}

// === impl LogDocument ===

impl<'a> LogDocument<'a> {
    fn new(event: &'a span::Event) -> Self {
        // Also if it is empty, where an attribute would be taken for it.
        let is_needed = !event.name.is_empty() || event.attributes.iter().any(|attribute| attribute.key == key::EVENT);
        let name = is_needed.then(|| WrittenTag::text(key::EVENT, &event.name));
        let fields = name.into_iter().chain(event.attributes.iter().map(WrittenTag::of)).collect();
        Self { timestamp: micros(event.time_unix_nano), fields }
    }
}

fn micros(nanos: u64) -> u64 {
    nanos / 1000
}
