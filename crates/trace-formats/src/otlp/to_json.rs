//! Writes OTLP JSON as the specification wants it: ids in hexadecimal, numbers of 64 bits as strings, enums as numbers,
//! names in camelCase. Defaults are left out.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span},
};
use serde::{Serialize, Serializer, ser::SerializeMap};

use crate::id;

/// Deeper values are written as `null`. Decoders of OTLP have lower limits.
const MAX_DEPTH: usize = 100;

/// A message of OTLP that is written as JSON.
pub(crate) struct Json<'m, M>(pub(crate) &'m M);

/// A list of such messages.
struct List<'m, M>(&'m [M]);

/// A value at a depth.
struct Nested<'m, M>(&'m M, usize);

/// A list of values or attributes at a depth.
struct NestedList<'m, M>(&'m [M], usize);

/// The document.
pub(crate) struct TracesData<'m>(pub(crate) &'m [ResourceSpans]);

/// Writes an object, without the members that are empty.
struct Object<S>(S);

// === impl Object ===

impl<M: SerializeMap> Object<M> {
    fn member<T: Serialize>(&mut self, key: &str, value: &T) -> Result<(), M::Error> {
        self.0.serialize_entry(key, value)
    }

    fn text(&mut self, key: &str, text: &str) -> Result<(), M::Error> {
        if text.is_empty() { Ok(()) } else { self.member(key, &text) }
    }

    fn id(&mut self, key: &str, id: &[u8]) -> Result<(), M::Error> {
        self.text(key, &id::hex(id))
    }

    fn nanos(&mut self, key: &str, nanos: u64) -> Result<(), M::Error> {
        if nanos == 0 { Ok(()) } else { self.member(key, &nanos.to_string()) }
    }

    fn number<T: Copy + Serialize + Default + PartialEq>(&mut self, key: &str, number: T) -> Result<(), M::Error> {
        if number == T::default() { Ok(()) } else { self.member(key, &number) }
    }

    fn list<'m, T>(&mut self, key: &str, list: &'m [T]) -> Result<(), M::Error>
    where
        List<'m, T>: Serialize,
    {
        if list.is_empty() { Ok(()) } else { self.member(key, &List(list)) }
    }
}

/// Implements `Serialize` for a message: its members.
macro_rules! object {
    ($message:ty, $self:ident, $object:ident, $members:block) => {
        impl Serialize for Json<'_, $message> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let $self = self.0;
                let mut $object = Object(serializer.serialize_map(None)?);
                $members
                $object.0.end()
            }
        }
    };
}

object!(ResourceSpans, it, object, {
    if let Some(resource) = &it.resource {
        object.member("resource", &Json(resource))?;
    }
    object.member("scopeSpans", &List(&it.scope_spans))?;
    object.text("schemaUrl", &it.schema_url)?;
});

object!(Resource, it, object, {
    object.list("attributes", &it.attributes)?;
    object.number("droppedAttributesCount", it.dropped_attributes_count)?;
});

object!(ScopeSpans, it, object, {
    if let Some(scope) = &it.scope {
        object.member("scope", &Json(scope))?;
    }
    object.member("spans", &List(&it.spans))?;
    object.text("schemaUrl", &it.schema_url)?;
});

object!(InstrumentationScope, it, object, {
    object.text("name", &it.name)?;
    object.text("version", &it.version)?;
    object.list("attributes", &it.attributes)?;
    object.number("droppedAttributesCount", it.dropped_attributes_count)?;
});

object!(Span, it, object, {
    object.id("traceId", &it.trace_id)?;
    object.id("spanId", &it.span_id)?;
    object.text("traceState", &it.trace_state)?;
    object.id("parentSpanId", &it.parent_span_id)?;
    object.number("flags", it.flags)?;
    object.text("name", &it.name)?;
    object.number("kind", it.kind)?;
    object.nanos("startTimeUnixNano", it.start_time_unix_nano)?;
    object.nanos("endTimeUnixNano", it.end_time_unix_nano)?;
    object.list("attributes", &it.attributes)?;
    object.number("droppedAttributesCount", it.dropped_attributes_count)?;
    object.list("events", &it.events)?;
    object.number("droppedEventsCount", it.dropped_events_count)?;
    object.list("links", &it.links)?;
    object.number("droppedLinksCount", it.dropped_links_count)?;
    if let Some(status) = &it.status {
        object.member("status", &Json(status))?;
    }
});

object!(span::Event, it, object, {
    object.nanos("timeUnixNano", it.time_unix_nano)?;
    object.text("name", &it.name)?;
    object.list("attributes", &it.attributes)?;
    object.number("droppedAttributesCount", it.dropped_attributes_count)?;
});

object!(span::Link, it, object, {
    object.id("traceId", &it.trace_id)?;
    object.id("spanId", &it.span_id)?;
    object.text("traceState", &it.trace_state)?;
    object.list("attributes", &it.attributes)?;
    object.number("droppedAttributesCount", it.dropped_attributes_count)?;
    object.number("flags", it.flags)?;
});

object!(Status, it, object, {
    object.text("message", &it.message)?;
    object.number("code", it.code)?;
});

impl Serialize for TracesData<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = Object(serializer.serialize_map(Some(1))?);
        object.member("resourceSpans", &List(self.0))?;
        object.0.end()
    }
}

impl<M> Serialize for List<'_, M>
where
    for<'m> Json<'m, M>: Serialize,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(Json))
    }
}

impl Serialize for Json<'_, KeyValue> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Nested(self.0, 0).serialize(serializer)
    }
}

impl Serialize for Json<'_, AnyValue> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Nested(self.0, 0).serialize(serializer)
    }
}

impl<M> Serialize for NestedList<'_, M>
where
    for<'m> Nested<'m, M>: Serialize,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = Object(serializer.serialize_map(Some(1))?);
        let values: Vec<_> = self.0.iter().map(|value| Nested(value, self.1 + 1)).collect();
        object.member("values", &values)?;
        object.0.end()
    }
}

impl Serialize for Nested<'_, KeyValue> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(KeyValue { key, value, .. }, depth) = self;
        let mut object = Object(serializer.serialize_map(None)?);
        object.member("key", key)?;
        if let Some(value) = value {
            object.member("value", &Nested(value, *depth))?;
        }
        object.0.end()
    }
}

impl Serialize for Nested<'_, AnyValue> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = Object(serializer.serialize_map(None)?);
        match &self.0.value {
            None | Some(Value::StringValueStrindex(_)) => {}
            _ if self.1 > MAX_DEPTH => {}
            Some(Value::StringValue(text)) => object.member("stringValue", text)?,
            Some(Value::BoolValue(value)) => object.member("boolValue", value)?,
            Some(Value::IntValue(number)) => object.member("intValue", &number.to_string())?,
            Some(Value::DoubleValue(number)) if number.is_nan() => object.member("doubleValue", &"NaN")?,
            Some(Value::DoubleValue(number)) if number.is_infinite() => {
                object.member("doubleValue", &if *number > 0.0 { "Infinity" } else { "-Infinity" })?;
            }
            Some(Value::DoubleValue(number)) => object.member("doubleValue", number)?,
            Some(Value::ArrayValue(list)) => object.member("arrayValue", &NestedList(&list.values, self.1))?,
            Some(Value::KvlistValue(list)) => object.member("kvlistValue", &NestedList(&list.values, self.1))?,
            Some(Value::BytesValue(bytes)) => object.member("bytesValue", &BASE64_STANDARD.encode(bytes))?,
        }
        object.0.end()
    }
}
