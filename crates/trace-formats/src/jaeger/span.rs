//! The objects of the format, as they are read.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValue, any_value::Value},
    trace::v1::span,
};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, Unexpected},
};
use serde_json::value::RawValue;

use super::tag::ReadTag;
use crate::{
    id,
    json_types::{HexId, Micros},
    otlp::{json::LinkJson, json_value::or_default},
};

/// A trace.
#[derive(Deserialize)]
pub(super) struct TraceJson<'a> {
    #[serde(borrow)]
    pub(super) spans: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) processes: Option<BTreeMap<String, &'a RawValue>>,
}

/// A process: a service, and what is known about it.
#[derive(Deserialize)]
pub(super) struct ProcessJson {
    #[serde(default, rename = "serviceName", deserialize_with = "or_default")]
    pub(super) service_name: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) tags: Vec<ReadTag>,
}

/// A span.
#[derive(Deserialize)]
pub(super) struct SpanJson {
    #[serde(rename = "traceID")]
    pub(super) trace_id: HexId<{ id::TRACE }>,
    #[serde(rename = "spanID")]
    pub(super) span_id: HexId<{ id::SPAN }>,
    /// Authoritative if it is there; empty for a root.
    #[serde(default, rename = "parentSpanID")]
    pub(super) parent_span_id: Option<Parent>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) flags: u32,
    #[serde(default, rename = "operationName", deserialize_with = "or_default")]
    pub(super) name: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) references: Vec<Reference>,
    #[serde(rename = "startTime")]
    pub(super) start: Micros,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) duration: Micros,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) tags: Vec<ReadTag>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) logs: Vec<Log>,
    #[serde(default, rename = "processID", deserialize_with = "or_default")]
    pub(super) process_id: String,
    /// In the span itself, as in Jaeger's storage.
    #[serde(default)]
    pub(super) process: Option<ProcessJson>,
}

/// The id of a span that cannot be read otherwise.
#[derive(Deserialize)]
pub(super) struct OnlyId {
    #[serde(rename = "spanID")]
    pub(super) span_id: String,
}

/// A relation to another span.
#[derive(Deserialize)]
pub(super) struct Reference {
    #[serde(default, rename = "refType", deserialize_with = "or_default")]
    pub(super) kind: String,
    #[serde(rename = "traceID")]
    pub(super) trace_id: HexId<{ id::TRACE }>,
    #[serde(rename = "spanID")]
    pub(super) span_id: HexId<{ id::SPAN }>,
    /// What a link has besides, as OTLP JSON.
    #[serde(default)]
    pub(super) otlp: Option<LinkJson>,
}

/// An event.
#[derive(Deserialize)]
pub(super) struct Log {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) timestamp: Micros,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) fields: Vec<ReadTag>,
}

/// A span's id, or nothing.
pub(super) struct Parent(pub(super) Vec<u8>);

impl<'de> Deserialize<'de> for Parent {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let parent = if text.is_empty() { Some(Vec::new()) } else { id::from_short_hex(&text, id::SPAN) };
        parent.map(Self).ok_or_else(|| D::Error::invalid_value(Unexpected::Str(&text), &"an id of up to 16 digits"))
    }
}

// === impl Reference ===

impl Reference {
    /// Returns whether the other span is a parent.
    pub(super) fn is_child_of(&self) -> bool {
        self.kind.eq_ignore_ascii_case("CHILD_OF")
    }

    /// Returns the link. One that is no `FOLLOWS_FROM` says what it is in an attribute.
    pub(super) fn into_link(self) -> span::Link {
        let is_child_of = self.is_child_of();
        if let Some(link) = self.otlp {
            return link.into_message();
        }
        let attribute = || KeyValue {
            key: super::key::REF_TYPE.to_owned(),
            value: Some(AnyValue { value: Some(Value::StringValue("child_of".to_owned())) }),
            key_strindex: 0,
        };
        let attributes = is_child_of.then(attribute).into_iter().collect();
        span::Link { trace_id: self.trace_id.0, span_id: self.span_id.0, attributes, ..span::Link::default() }
    }
}
