//! Reads Jaeger JSON.

use std::collections::HashMap;

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span, span::SpanKind, status::StatusCode},
};
use serde_json::value::RawValue;

use super::{
    NO_SERVICE_NAME, key,
    span::{Log, OnlyId, ProcessJson, Reference, SpanJson, TraceJson},
    tag::ReadTag,
};
use crate::{
    problem::Fault,
    sink::Sink,
    source::{Flow, Path, Source},
};

/// The spans of a process by their scope, in the order of first appearance.
struct Process {
    resource: Resource,
    scopes: Vec<(Scope, Vec<Span>)>,
    by_scope: HashMap<Scope, usize>,
}

/// A scope as far as the format has it.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Scope {
    name: String,
    version: String,
}

/// The processes of a trace.
#[derive(Default)]
struct Processes {
    list: Vec<Process>,
    by_id: HashMap<String, usize>,
}

/// Reads the value of `data`: a list of traces.
pub(crate) fn traces<'a>(data: &'a RawValue, source: &Source<'a>, sink: &mut Sink<'_>) {
    let read = source.read_list(data, &Path::ROOT.key("data"), |index, element| {
        trace(element, &Path::ROOT.element("data", index), source, sink);
        sink.flow()
    });
    if let Err(fault) = read {
        sink.report(fault);
    }
}

/// Reads a trace.
pub(crate) fn trace<'a>(element: &'a RawValue, path: &Path<'_>, source: &Source<'a>, sink: &mut Sink<'_>) {
    let parts: TraceJson<'a> = match source.read(element, path) {
        Ok(parts) => parts,
        Err(fault) => return sink.report(fault),
    };
    let mut processes = Processes::default();
    for (id, raw) in parts.processes.unwrap_or_default() {
        match source.read::<ProcessJson>(raw, &path.key("processes")) {
            Ok(process) => {
                let place = || (source.offset_of(raw.get()), path.key("processes").to_string());
                let process = resource(process);
                if sink.add_items("process", &process, place) == Flow::Stop {
                    return;
                }
                processes.add(id, process);
            }
            Err(fault) => sink.report(fault),
        }
    }
    let Some(spans) = parts.spans else {
        let message = "a trace without `spans`";
        return sink.report(Fault::new(source.offset_of(element.get()), path.to_string(), None, message));
    };
    let read = source.read_list(spans, &path.key("spans"), |index, element| {
        let path = path.element("spans", index);
        match span(element, &path, source, sink) {
            Ok(mut span) => {
                let place = || (source.offset_of(element.get()), path.to_string());
                let (index, is_new) = processes.of(&mut span);
                let process = &mut processes.list[index];
                if is_new && sink.add_items("process", &process.resource, place) == Flow::Stop {
                    return Flow::Stop;
                }
                let (into, span) = process.place(span);
                sink.add(into, span, place)
            }
            Err(fault) => {
                sink.report(fault);
                Flow::Continue
            }
        }
    });
    if let Err(fault) = read {
        sink.report(fault);
    }
    sink.spans.extend(processes.list.into_iter().filter_map(Process::into_message));
}

fn span<'a>(element: &'a RawValue, path: &Path<'_>, source: &Source<'a>, sink: &Sink<'_>) -> Result<SpanJson, Fault> {
    sink.check_size("span", element.get().len())
        .map_err(|message| Fault::new(source.offset_of(element.get()), path.to_string(), None, message))?;
    source.read(element, path).map_err(|mut fault| {
        fault.set_span(serde_json::from_str::<OnlyId>(element.get()).ok().map(|only| only.span_id));
        fault
    })
}

// === impl Processes ===

impl Processes {
    /// Adds a process, and returns its place in the list.
    fn add(&mut self, id: String, resource: Resource) -> usize {
        self.list.push(Process::new(resource));
        self.by_id.insert(id, self.list.len() - 1);
        self.list.len() - 1
    }

    /// Returns the place of the process that a span belongs to, and whether it was not there before.
    fn of(&mut self, span: &mut SpanJson) -> (usize, bool) {
        let before = self.list.len();
        let index = match span.process.take() {
            // It has no id: spans one after another may have the same one, others are not searched for.
            Some(process) => self.same_or_new(resource(process)),
            None => match self.by_id.get(&span.process_id) {
                Some(index) => *index,
                None => self.add(std::mem::take(&mut span.process_id), Resource::default()),
            },
        };
        (index, self.list.len() > before)
    }

    /// Returns the last process if it is the same, or a new one.
    fn same_or_new(&mut self, resource: Resource) -> usize {
        if self.list.last().is_none_or(|last| last.resource != resource) {
            self.list.push(Process::new(resource));
        }
        self.list.len() - 1
    }
}

// === impl Process ===

impl Process {
    fn new(resource: Resource) -> Self {
        Self { resource, scopes: Vec::new(), by_scope: HashMap::new() }
    }

    /// Converts a span, and returns the list of its scope.
    fn place(&mut self, span: SpanJson) -> (&mut Vec<Span>, Span) {
        let Self { scopes, by_scope, .. } = self;
        let (scope, span) = into_message(span);
        let at = *by_scope.entry(scope.clone()).or_insert_with(|| {
            scopes.push((scope, Vec::new()));
            scopes.len() - 1
        });
        (&mut scopes[at].1, span)
    }

    fn into_message(self) -> Option<ResourceSpans> {
        let spans = self.scopes.into_iter().filter(|(_, spans)| !spans.is_empty());
        let scope_spans: Vec<_> = spans
            .map(|(Scope { name, version }, spans)| {
                let is_empty = name.is_empty() && version.is_empty();
                let scope = InstrumentationScope { name, version, ..InstrumentationScope::default() };
                let scope = (!is_empty).then_some(scope);
                ScopeSpans { scope, spans, schema_url: String::new() }
            })
            .collect();
        let resource = Some(self.resource).filter(|resource| !resource.attributes.is_empty());
        (!scope_spans.is_empty()).then_some(ResourceSpans { resource, scope_spans, schema_url: String::new() })
    }
}

fn resource(process: ProcessJson) -> Resource {
    let ProcessJson { service_name, tags } = process;
    let name = Some(service_name).filter(|name| !name.is_empty() && name != NO_SERVICE_NAME);
    let name = name.map(|name| text_attribute("service.name", name));
    let attributes = name.into_iter().chain(tags.into_iter().map(ReadTag::into_attribute)).collect();
    Resource { attributes, ..Resource::default() }
}

fn into_message(json: SpanJson) -> (Scope, Span) {
    let mut attributes: Vec<_> = json.tags.into_iter().map(ReadTag::into_attribute).collect();
    let mut take = |key: &str| take_text(&mut attributes, key);
    let kind = take(key::KIND).map_or(SpanKind::Unspecified, |kind| kind_of(&kind));
    let trace_state = take(key::TRACE_STATE).unwrap_or_default();
    let name = take(key::SCOPE_NAME).or_else(|| take("otel.library.name")).unwrap_or_default();
    let version = take(key::SCOPE_VERSION).or_else(|| take("otel.library.version")).unwrap_or_default();
    let status = status(&mut attributes);
    let mut count = |key: &str| take_count(&mut attributes, key);
    let dropped_attributes_count = count(key::DROPPED_ATTRIBUTES);
    let dropped_events_count = count(key::DROPPED_EVENTS);
    let dropped_links_count = count(key::DROPPED_LINKS);
    let trace_id = json.trace_id.0;
    let (parent_span_id, links) = relations(&trace_id, json.parent_span_id.map(|parent| parent.0), json.references);
    let span = Span {
        trace_id,
        span_id: json.span_id.0,
        trace_state,
        parent_span_id,
        flags: json.flags,
        name: json.name,
        kind: kind.into(),
        start_time_unix_nano: json.start.0,
        end_time_unix_nano: json.start.0.saturating_add(json.duration.0),
        attributes,
        dropped_attributes_count,
        events: json.logs.into_iter().map(event).collect(),
        dropped_events_count,
        links,
        dropped_links_count,
        status,
    };
    (Scope { name, version }, span)
}

/// Returns the parent and the links. The parent is the first `CHILD_OF` in the same trace, or as in Jaeger any other
/// span of it, if nothing else is said.
fn relations(trace: &[u8], given: Option<Vec<u8>>, mut references: Vec<Reference>) -> (Vec<u8>, Vec<span::Link>) {
    let is_here = |reference: &Reference| reference.trace_id.0 == trace;
    let found = if let Some(parent) = &given {
        references.iter().position(|it| is_here(it) && it.is_child_of() && it.span_id.0 == *parent)
    } else {
        let child_of = references.iter().position(|reference| is_here(reference) && reference.is_child_of());
        child_of.or_else(|| references.iter().position(is_here))
    };
    let referred = found.map(|index| references.remove(index).span_id.0);
    let links = references.into_iter().map(Reference::into_link).collect();
    (given.or(referred).unwrap_or_default(), links)
}

fn event(log: Log) -> span::Event {
    let mut attributes: Vec<_> = log.fields.into_iter().map(ReadTag::into_attribute).collect();
    let name = take_text(&mut attributes, key::EVENT).unwrap_or_default();
    span::Event { time_unix_nano: log.timestamp.0, name, attributes, dropped_attributes_count: 0 }
}

/// Takes the status out of the tags. `otel.status_code` decides; without it, `error` does, and stays.
fn status(attributes: &mut Vec<KeyValue>) -> Option<Status> {
    let is_error = |attribute: &KeyValue| {
        let value = attribute.value.as_ref().and_then(|value| value.value.as_ref());
        attribute.key == key::ERROR
            && match value {
                Some(Value::BoolValue(value)) => *value,
                Some(Value::StringValue(text)) => text == "true",
                _ => false,
            }
    };
    let code = take_text(attributes, key::STATUS_CODE);
    let message = take_text(attributes, key::STATUS_DESCRIPTION).unwrap_or_default();
    let code = match code.as_deref() {
        Some("OK") => StatusCode::Ok,
        Some("ERROR") => {
            if let Some(index) = attributes.iter().position(is_error) {
                attributes.remove(index);
            }
            StatusCode::Error
        }
        _ if attributes.iter().any(is_error) => StatusCode::Error,
        _ if message.is_empty() => return None,
        _ => StatusCode::Unset,
    };
    Some(Status { message, code: code.into() })
}

/// Takes the first attribute with this key out of the list if its value is a text.
fn take_text(attributes: &mut Vec<KeyValue>, key: &str) -> Option<String> {
    let index = attributes.iter().position(|attribute| attribute.key == key)?;
    let Some(AnyValue { value: Some(Value::StringValue(_)) }) = &attributes[index].value else { return None };
    match attributes.remove(index).value?.value? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

/// Takes the first attribute with this key out of the list if its value is a count.
fn take_count(attributes: &mut Vec<KeyValue>, key: &str) -> u32 {
    let Some(index) = attributes.iter().position(|attribute| attribute.key == key) else { return 0 };
    let count = match &attributes[index].value {
        Some(AnyValue { value: Some(Value::IntValue(number)) }) => u32::try_from(*number).ok(),
        _ => None,
    };
    if count.is_some() {
        attributes.remove(index);
    }
    count.unwrap_or(0)
}

fn text_attribute(key: &str, text: String) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(Value::StringValue(text)) }), key_strindex: 0 }
}

fn kind_of(kind: &str) -> SpanKind {
    match kind.to_ascii_lowercase().as_str() {
        "internal" => SpanKind::Internal,
        "server" => SpanKind::Server,
        "client" => SpanKind::Client,
        "producer" => SpanKind::Producer,
        "consumer" => SpanKind::Consumer,
        _ => SpanKind::Unspecified,
    }
}
