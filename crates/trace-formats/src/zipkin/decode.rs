//! Reads Zipkin JSON.

use std::collections::HashMap;

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span, span::SpanKind, status::StatusCode},
};
use serde_json::value::RawValue;

use super::{
    shared,
    span::{Annotation, Kind, OnlyId, SpanJson},
};
use crate::{
    json_types::HexId,
    problem::Fault,
    sink::Sink,
    source::{Flow, Path, Source},
};

/// Reads a list of spans, or of lists of spans.
pub(crate) fn list<'a>(list: &'a RawValue, source: &Source<'a>, sink: &mut Sink<'_>) {
    let mut spans = Read::default();
    let read = source.read_list(list, &Path::ROOT, |outer, element| {
        let path = Path::ROOT.element("", outer);
        if element.get().starts_with('[') {
            let read = source.read_list(element, &path, |inner, element| {
                let place = Place { offset: source.offset_of(element.get()), indices: [Some(outer), Some(inner)] };
                self::element(element, place, &path.element("", inner), source, &mut spans, sink)
            });
            return read.unwrap_or_else(|fault| {
                sink.report(fault);
                Flow::Continue
            });
        }
        let place = Place { offset: source.offset_of(element.get()), indices: [Some(outer), None] };
        self::element(element, place, &path, source, &mut spans, sink)
    });
    if let Err(fault) = read {
        sink.report(fault);
    }
    finish(spans, sink);
}

/// Reads a single span, which is a whole document.
pub(crate) fn span<'a>(document: &'a RawValue, source: &Source<'a>, sink: &mut Sink<'_>) {
    let mut spans = Read::default();
    let place = Place { offset: source.offset_of(document.get()), indices: [None; 2] };
    _ = element(document, place, &Path::ROOT, source, &mut spans, sink);
    finish(spans, sink);
}

/// The spans that were read.
#[derive(Default)]
struct Read {
    list: Vec<(SpanJson, Place)>,
    /// Their tags and annotations.
    items: usize,
}

/// Where a span was read.
#[derive(Clone, Copy)]
struct Place {
    offset: usize,
    /// In the list, and in the list within it.
    indices: [Option<usize>; 2],
}

fn element<'a>(
    element: &'a RawValue,
    place: Place,
    path: &Path<'_>,
    source: &Source<'a>,
    spans: &mut Read,
    sink: &mut Sink<'_>,
) -> Flow {
    if let Err(message) = sink.check_size("span", element.get().len()) {
        sink.report(Fault::new(place.offset, path.to_string(), None, message));
        return Flow::Continue;
    }
    match source.read::<SpanJson>(element, path) {
        // One more than are read, so that there is one to report.
        Ok(_) if spans.list.len() > sink.limits.spans || spans.items > sink.limits.items => return Flow::Stop,
        Ok(span) => {
            spans.items += span.tags.len() + span.annotations.len();
            spans.list.push((span, place));
        }
        Err(mut fault) => {
            fault.set_span(serde_json::from_str::<OnlyId>(element.get()).ok().map(|only| only.id));
            sink.report(fault);
        }
    }
    Flow::Continue
}

/// Converts the spans, and groups them by service and scope.
fn finish(read: Read, sink: &mut Sink<'_>) {
    let (mut spans, places): (Vec<_>, Vec<_>) = read.list.into_iter().unzip();
    shared::separate(&mut spans);
    let mut groups: Vec<(Group, Vec<Span>)> = Vec::new();
    let mut by_group: HashMap<Group, usize> = HashMap::new();
    for (span, place) in spans.into_iter().zip(places) {
        let (group, span) = into_message(span);
        let index = *by_group.entry(group.clone()).or_insert_with(|| {
            groups.push((group, Vec::new()));
            groups.len() - 1
        });
        if sink.add(&mut groups[index].1, span, || (place.offset, place.path())) == Flow::Stop {
            break;
        }
    }
    sink.spans.extend(groups.into_iter().filter(|(_, spans)| !spans.is_empty()).map(Group::into_message));
}

// === impl Place ===

impl Place {
    fn path(self) -> String {
        let [outer, inner] = self.indices;
        let Some(outer) = outer else { return Path::ROOT.to_string() };
        let outer = Path::ROOT.element("", outer);
        inner.map_or(outer, |inner| outer.element("", inner)).to_string()
    }
}

/// What spans have in common.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Group {
    service: String,
    scope_name: String,
    scope_version: String,
}

// === impl Group ===

impl Group {
    fn into_message((group, spans): (Self, Vec<Span>)) -> ResourceSpans {
        let Self { service, scope_name: name, scope_version: version } = group;
        let resource = (!service.is_empty())
            .then(|| Resource { attributes: vec![attribute("service.name", service)], ..Resource::default() });
        let is_empty = name.is_empty() && version.is_empty();
        let scope = InstrumentationScope { name, version, ..InstrumentationScope::default() };
        let scope_spans = ScopeSpans { scope: (!is_empty).then_some(scope), spans, schema_url: String::new() };
        ResourceSpans { resource, scope_spans: vec![scope_spans], schema_url: String::new() }
    }
}

fn into_message(json: SpanJson) -> (Group, Span) {
    let mut tags = json.tags;
    let mut take = |key: &str| tags.remove(key).map(text);
    let scope_name = take("otel.scope.name").or_else(|| take("otel.library.name")).unwrap_or_default();
    let scope_version = take("otel.scope.version").or_else(|| take("otel.library.version")).unwrap_or_default();
    let code = take("otel.status_code");
    // An error is a tag whose text may be a description, or only "true".
    let error = take("error").filter(|error| error != "false");
    let description = take("otel.status_description");
    let code = match (code.as_deref(), &error) {
        (Some("OK"), _) => Some(StatusCode::Ok),
        (Some("ERROR"), _) | (_, Some(_)) => Some(StatusCode::Error),
        _ => None,
    };
    let message = description.or(error.filter(|error| error != "true"));
    let status = code.map(|code| Status { code: code.into(), message: message.unwrap_or_default() });

    let mut attributes: Vec<_> = tags.into_iter().map(|(key, value)| attribute(&key, text(value))).collect();
    let mut known = |key: &str, text: &str| {
        if !text.is_empty() && !attributes.iter().any(|attribute| attribute.key == key) {
            attributes.push(attribute(key, text.to_owned()));
        }
    };
    known("network.local.address", json.local.address());
    known("peer.service", &json.remote.service_name);
    known("network.peer.address", json.remote.address());
    for (key, port) in [("network.local.port", json.local.port), ("network.peer.port", json.remote.port)] {
        if port != 0 {
            let value = Some(AnyValue { value: Some(Value::IntValue(port.into())) });
            attributes.push(KeyValue { key: key.to_owned(), value, key_strindex: 0 });
        }
    }
    let kind = match json.kind {
        None => SpanKind::Unspecified,
        Some(Kind::Client) => SpanKind::Client,
        Some(Kind::Server) => SpanKind::Server,
        Some(Kind::Producer) => SpanKind::Producer,
        Some(Kind::Consumer) => SpanKind::Consumer,
    };
    let span = Span {
        trace_id: json.trace_id.0,
        span_id: json.id.0,
        parent_span_id: json.parent_id.map(|HexId(id)| id).unwrap_or_default(),
        name: json.name,
        kind: kind.into(),
        start_time_unix_nano: json.timestamp.0,
        end_time_unix_nano: json.timestamp.0.saturating_add(json.duration.0),
        attributes,
        events: json.annotations.into_iter().map(event).collect(),
        status,
        ..Span::default()
    };
    (Group { service: json.local.service_name, scope_name, scope_version }, span)
}

/// OpenTelemetry writes `"name":{"attribute":…}` if there are attributes, and the name alone if there are none.
fn event(Annotation { timestamp, value }: Annotation) -> span::Event {
    let as_object = format!("{{{value}}}");
    let parsed: Option<serde_json::Map<String, serde_json::Value>> =
        value.starts_with('"').then(|| serde_json::from_str(&as_object).ok()).flatten();
    let entry = parsed.filter(|entries| entries.len() == 1).and_then(|entries| entries.into_iter().next());
    let (name, attributes) = match entry {
        Some((name, serde_json::Value::Object(attributes))) => {
            (name, attributes.into_iter().map(|(key, value)| attribute(&key, text(value))).collect())
        }
        _ => (value, Vec::new()),
    };
    span::Event { time_unix_nano: timestamp.0, name, attributes, dropped_attributes_count: 0 }
}

/// Tags are texts; some programs write other values.
fn text(value: serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    }
}

fn attribute(key: &str, text: String) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(Value::StringValue(text)) }), key_strindex: 0 }
}
