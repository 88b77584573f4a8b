//! One span with everything that is known of it.

use base64::{Engine, prelude::BASE64_STANDARD};
use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value},
    resource::v1::Resource,
    trace::v1::Span,
};
use overlap::{SpanIndex, Trace, hex};
use prost::Message;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{
    api::traces::shortened,
    store::source::{UNKNOWN_SERVICE, service_name},
};

/// The largest integer that JavaScript has without loss. Larger ones are texts.
const MAX_SAFE: u64 = (1 << 53) - 1;

/// A span.
#[derive(Debug, Serialize)]
pub(super) struct SpanDocument {
    span_id: String,
    /// Within the trace as it is shown: none if the parent is not there.
    parent_span_id: Option<String>,
    service: String,
    name: String,
    kind: &'static str,
    start_offset: u64,
    duration: u64,
    error: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    status_message: String,
    depth: usize,
    attributes: Map<String, Value>,
    /// Its place in the trace's sources.
    source: Option<usize>,
    events: Vec<Value>,
    links: Vec<Value>,
}

/// Where spans come from: what many share, once.
#[derive(Debug, Serialize)]
pub(super) struct SourceDocument {
    resource: Map<String, Value>,
    scope: Option<Value>,
}

/// Where a span comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin<'a> {
    pub(super) resource: Option<&'a Resource>,
    pub(super) scope: Option<&'a InstrumentationScope>,
    /// The number of the two.
    pub(super) source: usize,
    pub(super) span: &'a Span,
}

// === impl Origin ===

impl Origin<'_> {
    /// Returns the name of the service.
    pub(super) fn service(&self) -> &str {
        self.resource.map_or(UNKNOWN_SERVICE, service_name)
    }

    /// Returns how many bytes its resource and scope have when they are encoded.
    pub(super) fn source_len(&self) -> usize {
        self.resource.map_or(0, Message::encoded_len) + self.scope.map_or(0, Message::encoded_len)
    }
}

// === impl SourceDocument ===

impl SourceDocument {
    pub(super) fn new(origin: &Origin<'_>) -> Self {
        let named = origin.scope.filter(|scope| !scope.name.is_empty());
        Self {
            resource: attributes(origin.resource.map_or(&[], |resource| &resource.attributes)),
            scope: named.map(
                |scope| json!({"name": scope.name, "version": scope.version, "attributes": attributes(&scope.attributes)}),
            ),
        }
    }
}

// === impl SpanDocument ===

impl SpanDocument {
    /// Returns the document of a span, whose resource and scope are at `source` of the trace's. `start` is when the trace
    /// starts.
    pub(super) fn new(
        trace: &Trace,
        index: SpanIndex,
        message: Option<&Span>,
        source: Option<usize>,
        start: u64,
    ) -> Self {
        let span = trace.span(index);
        let parent = trace.parent(index).map(|parent| trace.span(parent).span_id.to_string());
        let events = message.map_or(&[][..], |message| &message.events);
        // The trace may have moved the span, for a clock that differs: its events move with it.
        let moved = |at: u64| i128::from(at) - message.map_or(0, |message| i128::from(message.start_time_unix_nano));
        let offset = span.start.saturating_sub(start);
        Self {
            span_id: span.span_id.to_string(),
            parent_span_id: parent,
            service: shortened(&span.service),
            name: span.name.to_string(),
            kind: span.kind.as_str(),
            start_offset: offset,
            duration: span.nanos(),
            error: span.error,
            status_message: message
                .and_then(|message| message.status.as_ref())
                .map(|status| status.message.clone())
                .unwrap_or_default(),
            depth: trace.depth(index),
            attributes: attributes(message.map_or(&[], |message| &message.attributes)),
            source,
            events: events
                .iter()
                .map(|event| {
                    let at = i128::from(offset) + moved(event.time_unix_nano);
                    let at = i64::try_from(at).unwrap_or(i64::MAX);
                    json!({"name": event.name, "offset": at, "attributes": attributes(&event.attributes)})
                })
                .collect(),
            links: message
                .map_or(&[][..], |message| &message.links)
                .iter()
                .map(|link| {
                    let ids = (hex::encode(&link.trace_id), hex::encode(&link.span_id));
                    json!({"trace_id": ids.0, "span_id": ids.1, "attributes": attributes(&link.attributes)})
                })
                .collect(),
        }
    }
}

/// Returns attributes as an object. The first of several with one key counts.
fn attributes(attributes: &[KeyValue]) -> Map<String, Value> {
    let mut object = Map::new();
    for KeyValue { key, value, .. } in attributes {
        object.entry(key.clone()).or_insert_with(|| plain(value.as_ref()));
    }
    object
}

/// Returns a value as JSON has it. As deep as the message's decoder allows, which is a hundred levels.
fn plain(value: Option<&AnyValue>) -> Value {
    match value.and_then(|value| value.value.as_ref()) {
        // Besides none, an index into a dictionary that only profiles have.
        None | Some(any_value::Value::StringValueStrindex(_)) => Value::Null,
        Some(any_value::Value::StringValue(text)) => text.as_str().into(),
        Some(any_value::Value::BoolValue(value)) => (*value).into(),
        Some(any_value::Value::IntValue(number)) if number.unsigned_abs() <= MAX_SAFE => (*number).into(),
        Some(any_value::Value::IntValue(number)) => number.to_string().into(),
        Some(any_value::Value::DoubleValue(number)) => {
            serde_json::Number::from_f64(*number).map_or_else(|| number.to_string().into(), Value::Number)
        }
        Some(any_value::Value::ArrayValue(array)) => array.values.iter().map(|value| plain(Some(value))).collect(),
        Some(any_value::Value::KvlistValue(list)) => attributes(&list.values).into(),
        Some(any_value::Value::BytesValue(bytes)) => BASE64_STANDARD.encode(bytes).into(),
    }
}
