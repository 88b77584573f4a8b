//! Reads OTLP JSON.

use opentelemetry_proto::tonic::{
    common::v1::InstrumentationScope,
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span},
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::json_value::{Attributes, Code, Id, Kind, Nanos, or_default};
use crate::{
    items::Items,
    problem::Fault,
    sink::Sink,
    source::{Flow, Path, Source},
};

#[derive(Deserialize)]
struct ResourceSpansJson<'a> {
    #[serde(borrow)]
    resource: Option<&'a RawValue>,
    #[serde(
        borrow,
        rename = "scopeSpans",
        alias = "scope_spans",
        // Their name before version 1.0 of the protocol.
        alias = "instrumentationLibrarySpans"
    )]
    scope_spans: Option<&'a RawValue>,
    #[serde(default, rename = "schemaUrl", alias = "schema_url", deserialize_with = "or_default")]
    schema_url: String,
}

#[derive(Deserialize)]
struct ScopeSpansJson<'a> {
    #[serde(borrow, alias = "instrumentationLibrary")]
    scope: Option<&'a RawValue>,
    #[serde(borrow)]
    spans: Option<&'a RawValue>,
    #[serde(default, rename = "schemaUrl", alias = "schema_url", deserialize_with = "or_default")]
    schema_url: String,
}

#[derive(Deserialize)]
struct ResourceJson {
    #[serde(default, deserialize_with = "or_default")]
    attributes: Attributes,
    #[serde(
        default,
        rename = "droppedAttributesCount",
        alias = "dropped_attributes_count",
        deserialize_with = "or_default"
    )]
    dropped_attributes_count: u32,
}

#[derive(Deserialize)]
struct ScopeJson {
    #[serde(default, deserialize_with = "or_default")]
    name: String,
    #[serde(default, deserialize_with = "or_default")]
    version: String,
    #[serde(default, deserialize_with = "or_default")]
    attributes: Attributes,
    #[serde(
        default,
        rename = "droppedAttributesCount",
        alias = "dropped_attributes_count",
        deserialize_with = "or_default"
    )]
    dropped_attributes_count: u32,
}

#[derive(Deserialize)]
struct SpanJson {
    #[serde(default, rename = "traceId", alias = "trace_id", deserialize_with = "or_default")]
    trace_id: Id,
    #[serde(default, rename = "spanId", alias = "span_id", deserialize_with = "or_default")]
    span_id: Id,
    #[serde(default, rename = "traceState", alias = "trace_state", deserialize_with = "or_default")]
    trace_state: String,
    #[serde(default, rename = "parentSpanId", alias = "parent_span_id", deserialize_with = "or_default")]
    parent_span_id: Id,
    #[serde(default, deserialize_with = "or_default")]
    flags: u32,
    #[serde(default, deserialize_with = "or_default")]
    name: String,
    #[serde(default, deserialize_with = "or_default")]
    kind: Kind,
    #[serde(default, rename = "startTimeUnixNano", alias = "start_time_unix_nano", deserialize_with = "or_default")]
    start: Nanos,
    #[serde(default, rename = "endTimeUnixNano", alias = "end_time_unix_nano", deserialize_with = "or_default")]
    end: Nanos,
    #[serde(default, deserialize_with = "or_default")]
    attributes: Attributes,
    #[serde(
        default,
        rename = "droppedAttributesCount",
        alias = "dropped_attributes_count",
        deserialize_with = "or_default"
    )]
    dropped_attributes_count: u32,
    #[serde(default, deserialize_with = "or_default")]
    events: Vec<EventJson>,
    #[serde(default, rename = "droppedEventsCount", alias = "dropped_events_count", deserialize_with = "or_default")]
    dropped_events_count: u32,
    #[serde(default, deserialize_with = "or_default")]
    links: Vec<LinkJson>,
    #[serde(default, rename = "droppedLinksCount", alias = "dropped_links_count", deserialize_with = "or_default")]
    dropped_links_count: u32,
    #[serde(default)]
    status: Option<StatusJson>,
}

#[derive(Deserialize)]
struct EventJson {
    #[serde(default, rename = "timeUnixNano", alias = "time_unix_nano", deserialize_with = "or_default")]
    time: Nanos,
    #[serde(default, deserialize_with = "or_default")]
    name: String,
    #[serde(default, deserialize_with = "or_default")]
    attributes: Attributes,
    #[serde(
        default,
        rename = "droppedAttributesCount",
        alias = "dropped_attributes_count",
        deserialize_with = "or_default"
    )]
    dropped_attributes_count: u32,
}

#[derive(Deserialize)]
pub(crate) struct LinkJson {
    #[serde(default, rename = "traceId", alias = "trace_id", deserialize_with = "or_default")]
    trace_id: Id,
    #[serde(default, rename = "spanId", alias = "span_id", deserialize_with = "or_default")]
    span_id: Id,
    #[serde(default, rename = "traceState", alias = "trace_state", deserialize_with = "or_default")]
    trace_state: String,
    #[serde(default, deserialize_with = "or_default")]
    attributes: Attributes,
    #[serde(
        default,
        rename = "droppedAttributesCount",
        alias = "dropped_attributes_count",
        deserialize_with = "or_default"
    )]
    dropped_attributes_count: u32,
    #[serde(default, deserialize_with = "or_default")]
    flags: u32,
}

#[derive(Deserialize)]
struct StatusJson {
    #[serde(default, deserialize_with = "or_default")]
    message: String,
    #[serde(default, deserialize_with = "or_default")]
    code: Code,
}

/// The ids of a span that cannot be read otherwise.
#[derive(Deserialize)]
struct OnlyId {
    #[serde(rename = "spanId", alias = "span_id")]
    span_id: String,
}

/// Reads a list of `ResourceSpans`.
pub(crate) fn decode<'a>(list: &'a RawValue, path: &Path<'_>, source: &Source<'a>, sink: &mut Sink<'_>) {
    let key = "resourceSpans";
    let read = source.read_list(list, &path.key(key), |index, element| {
        resource_spans(element, &path.element(key, index), source, sink);
        sink.flow()
    });
    if let Err(fault) = read {
        sink.report(fault);
    }
}

fn resource_spans<'a>(element: &'a RawValue, path: &Path<'_>, source: &Source<'a>, sink: &mut Sink<'_>) {
    let parts: ResourceSpansJson<'a> = match source.read(element, path) {
        Ok(parts) => parts,
        Err(fault) => return sink.report(fault),
    };
    let resource = part(parts.resource, "resource", path, source, sink, ResourceJson::into_message);
    if sink.flow() == Flow::Stop {
        return;
    }
    let mut scope_spans = Vec::new();
    if let Some(list) = parts.scope_spans {
        let key = "scopeSpans";
        let read = source.read_list(list, &path.key(key), |index, element| {
            scope_spans.extend(self::scope_spans(element, &path.element(key, index), source, sink));
            sink.flow()
        });
        if let Err(fault) = read {
            sink.report(fault);
        }
    }
    if !scope_spans.is_empty() {
        sink.spans.push(ResourceSpans { resource, scope_spans, schema_url: parts.schema_url });
    }
}

fn scope_spans<'a>(
    element: &'a RawValue,
    path: &Path<'_>,
    source: &Source<'a>,
    sink: &mut Sink<'_>,
) -> Option<ScopeSpans> {
    let parts: ScopeSpansJson<'a> = reported(source.read(element, path), sink)?;
    let scope = part(parts.scope, "scope", path, source, sink, ScopeJson::into_message);
    if sink.flow() == Flow::Stop {
        return None;
    }
    let mut spans = Vec::new();
    let key = "spans";
    let read = source.read_list(parts.spans?, &path.key(key), |index, element| {
        let path = path.element(key, index);
        match span(element, &path, source, sink) {
            Ok(span) => sink.add(&mut spans, span, || (source.offset_of(element.get()), path.to_string())),
            Err(fault) => {
                sink.report(fault);
                Flow::Continue
            }
        }
    });
    if let Err(fault) = read {
        sink.report(fault);
    }
    (!spans.is_empty()).then_some(ScopeSpans { scope, spans, schema_url: parts.schema_url })
}

fn span<'a>(element: &'a RawValue, path: &Path<'_>, source: &Source<'a>, sink: &Sink<'_>) -> Result<Span, Fault> {
    check_size("span", element, path, source, sink)?;
    let span: SpanJson = source.read(element, path).map_err(|mut fault| {
        fault.set_span(serde_json::from_str::<OnlyId>(element.get()).ok().map(|only| only.span_id));
        fault
    })?;
    Ok(span.into_message())
}

/// Reads a resource or a scope, which may be missing or null. Spans count also if theirs cannot be read.
///
/// If it has more than is allowed, the sink is full: nothing after it counts, and neither do its spans.
fn part<'a, T: Deserialize<'a>, M: Items>(
    part: Option<&'a RawValue>,
    what: &'static str,
    path: &Path<'_>,
    source: &Source<'a>,
    sink: &mut Sink<'_>,
    into_message: impl FnOnce(T) -> M,
) -> Option<M> {
    let (part, path) = (part?, path.key(what));
    let read = check_size(what, part, &path, source, sink).and_then(|()| source.read::<Option<T>>(part, &path));
    let message = into_message(reported(read, sink).flatten()?);
    let flow = sink.add_items(what, &message, || (source.offset_of(part.get()), path.to_string()));
    (flow == Flow::Continue).then_some(message)
}

fn check_size(what: &str, part: &RawValue, path: &Path<'_>, source: &Source<'_>, sink: &Sink<'_>) -> Result<(), Fault> {
    sink.check_size(what, part.get().len())
        .map_err(|message| Fault::new(source.offset_of(part.get()), path.to_string(), None, message))
}

fn reported<T>(result: Result<T, Fault>, sink: &mut Sink<'_>) -> Option<T> {
    result.map_err(|fault| sink.report(fault)).ok()
}

// === conversions ===

impl ResourceJson {
    fn into_message(self) -> Resource {
        let Self { attributes, dropped_attributes_count } = self;
        Resource { attributes: attributes.0, dropped_attributes_count, entity_refs: Vec::new() }
    }
}

impl ScopeJson {
    fn into_message(self) -> InstrumentationScope {
        let Self { name, version, attributes, dropped_attributes_count } = self;
        InstrumentationScope { name, version, attributes: attributes.0, dropped_attributes_count }
    }
}

impl SpanJson {
    fn into_message(self) -> Span {
        Span {
            trace_id: self.trace_id.0,
            span_id: self.span_id.0,
            trace_state: self.trace_state,
            parent_span_id: self.parent_span_id.0,
            flags: self.flags,
            name: self.name,
            kind: self.kind.0,
            start_time_unix_nano: self.start.0,
            end_time_unix_nano: self.end.0,
            attributes: self.attributes.0,
            dropped_attributes_count: self.dropped_attributes_count,
            events: self.events.into_iter().map(EventJson::into_message).collect(),
            dropped_events_count: self.dropped_events_count,
            links: self.links.into_iter().map(LinkJson::into_message).collect(),
            dropped_links_count: self.dropped_links_count,
            status: self.status.map(|StatusJson { message, code }| Status { message, code: code.0 }),
        }
    }
}

impl EventJson {
    fn into_message(self) -> span::Event {
        let Self { time, name, attributes, dropped_attributes_count } = self;
        span::Event { time_unix_nano: time.0, name, attributes: attributes.0, dropped_attributes_count }
    }
}

impl LinkJson {
    pub(crate) fn into_message(self) -> span::Link {
        let Self { trace_id, span_id, trace_state, attributes, dropped_attributes_count, flags } = self;
        let attributes = attributes.0;
        span::Link {
            trace_id: trace_id.0,
            span_id: span_id.0,
            trace_state,
            attributes,
            dropped_attributes_count,
            flags,
        }
    }
}
