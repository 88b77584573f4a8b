//! How large the parts of a request may be. What is sent as a few bytes can be much more when it is decoded.

use bytes::Bytes;
use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::Span,
};
use prost::DecodeError;

use crate::otlp::fields::Fields;

/// How many bytes a span may have, a resource, and a scope.
pub(crate) const MAX_SPAN: usize = 4 << 20;

/// How many resources, scopes and spans a request may have together.
pub(crate) const MAX_MESSAGES: usize = 1_000_000;

/// How many attributes, events, links, references to entities and parts of values a span may have together, a resource, and
/// a scope. Each takes about a hundred bytes when decoded.
pub(crate) const MAX_ITEMS: usize = 20_000;

/// How many of them the spans of a trace may have together. All are decoded when the trace is looked at.
pub(crate) const MAX_TRACE_ITEMS: u64 = 2_000_000;

/// How few bytes an item has: its key and its length.
const MIN_ITEM: usize = 2;

/// How deep values may be. That of the decoder.
const MAX_DEPTH: usize = 100;

/// A message that has items, or is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    Span,
    Resource,
    Scope,
    Event,
    Link,
    KeyValue,
    AnyValue,
    Array,
    KeyValueList,
    EntityRef,
    Text,
}

// === impl Message ===

impl Message {
    /// Returns what is wrong with a message that takes too much.
    ///
    /// # Errors
    ///
    /// Returns an error if it is broken.
    pub(crate) fn excess(self, bytes: &Bytes) -> Result<Option<String>, DecodeError> {
        if bytes.len() > MAX_SPAN {
            return Ok(Some(format!("it has {} bytes (limit {MAX_SPAN})", bytes.len())));
        }
        // Most are too short to have so many.
        let too_many = bytes.len() > MIN_ITEM * MAX_ITEMS && self.items(bytes, MAX_DEPTH, MAX_ITEMS)? > MAX_ITEMS;
        Ok(too_many.then(|| format!("it has more than {MAX_ITEMS} attributes, events and links, with what is in them")))
    }

    /// Counts items, up to the first above `max`. What is deeper than `depth` is left to the decoder, which refuses it.
    fn items(self, bytes: &Bytes, depth: usize, max: usize) -> Result<usize, DecodeError> {
        let mut count = 0;
        if depth == 0 || self == Self::Text {
            return Ok(count);
        }
        for field in Fields::new(bytes.clone(), 0) {
            let field = field?;
            let (Some(item), Some(bytes)) = (self.item(field.number), field.bytes) else { continue };
            count += 1;
            if count <= max {
                count += item.items(&bytes, depth - 1, max - count)?;
            }
            if count > max {
                break;
            }
        }
        Ok(count)
    }

    /// Returns what the items in this field are.
    fn item(self, field: u32) -> Option<Self> {
        Some(match (self, field) {
            (Self::Span, 9)
            | (Self::Resource | Self::KeyValueList, 1)
            | (Self::Scope | Self::Event, 3)
            | (Self::Link, 4) => Self::KeyValue,
            (Self::Span, 11) => Self::Event,
            (Self::Span, 13) => Self::Link,
            (Self::KeyValue, 2) | (Self::Array, 1) => Self::AnyValue,
            (Self::AnyValue, 5) => Self::Array,
            (Self::AnyValue, 6) => Self::KeyValueList,
            (Self::Resource, 3) => Self::EntityRef,
            // The keys of attributes.
            (Self::EntityRef, 3 | 4) => Self::Text,
            _ => return None,
        })
    }
}

/// Counts the items of a decoded span.
pub(crate) fn items_of(span: &Span) -> u64 {
    let events = span.events.iter().map(|event| &event.attributes);
    let links = span.links.iter().map(|link| &link.attributes);
    attributes(&span.attributes) + events.chain(links).map(|inside| 1 + attributes(inside)).sum::<u64>()
}

/// Counts the items of a decoded resource and a scope.
pub(crate) fn items_of_source(resource: &Resource, scope: &InstrumentationScope) -> u64 {
    let entities = resource.entity_refs.iter();
    let entities = entities.map(|entity| 1 + entity.id_keys.len() as u64 + entity.description_keys.len() as u64);
    attributes(&resource.attributes) + entities.sum::<u64>() + attributes(&scope.attributes)
}

/// Counts attributes and the parts of their values.
fn attributes(attributes: &[KeyValue]) -> u64 {
    attributes.iter().map(|attribute| 1 + attribute.value.as_ref().map_or(0, parts)).sum()
}

/// Counts the parts of a value. It is no deeper than the decoder allows.
fn parts(value: &AnyValue) -> u64 {
    match &value.value {
        Some(Value::ArrayValue(array)) => array.values.iter().map(|value| 1 + parts(value)).sum(),
        Some(Value::KvlistValue(list)) => attributes(&list.values),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::{
        common::v1::{ArrayValue, EntityRef, KeyValueList},
        trace::v1::span::{Event, Link},
    };
    use prost::Message as _;

    use super::*;

    fn attribute(value: Value) -> KeyValue {
        KeyValue { key: "key".to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
    }

    fn array(parts: usize) -> Value {
        Value::ArrayValue(ArrayValue { values: vec![AnyValue { value: Some(Value::BoolValue(true)) }; parts] })
    }

    fn bytes(span: &Span) -> Bytes {
        span.encode_to_vec().into()
    }

    #[test]
    fn encoded_and_decoded_they_are_as_many() {
        let list =
            Value::KvlistValue(KeyValueList { values: vec![attribute(Value::IntValue(1)), attribute(array(4))] });
        let event = Event { attributes: vec![attribute(Value::IntValue(1)); 3], ..Event::default() };
        let link = Link { attributes: vec![attribute(array(2))], ..Link::default() };
        let span = Span {
            name: "a name".to_owned(),
            attributes: vec![attribute(Value::StringValue("text".to_owned())), attribute(list)],
            events: vec![event.clone(), event],
            links: vec![link],
            ..Span::default()
        };
        // The attributes with the list's; two events of three each; a link of one, and the parts of that.
        let expected = (2 + 2 + 4) + 2 * (1 + 3) + (1 + 1 + 2);
        assert_eq!(items_of(&span), expected);
        // An array, a list, and the value of an attribute count once more where nothing is decoded.
        let encoded = Message::Span.items(&bytes(&span), MAX_DEPTH, MAX_ITEMS).unwrap() as u64;
        assert!((expected..=3 * expected).contains(&encoded), "{encoded}");
    }

    #[test]
    fn what_is_deep_in_a_value_counts() {
        let deep = (0..40).fold(array(MAX_ITEMS), |value, _| {
            Value::ArrayValue(ArrayValue { values: vec![AnyValue { value: Some(value) }] })
        });
        let span = Span { attributes: vec![attribute(deep)], ..Span::default() };
        assert!(Message::Span.excess(&bytes(&span)).unwrap().unwrap().contains("more than 20000 attributes"));
        let few = Span { attributes: vec![attribute(array(MAX_ITEMS / 3))], ..Span::default() };
        assert_eq!(Message::Span.excess(&bytes(&few)).unwrap(), None);
    }

    #[test]
    fn references_to_entities_count() {
        // Any text is a key, whatever it would be as a message.
        let entity = EntityRef { id_keys: vec!["\u{7f}".to_owned(); 9], ..EntityRef::default() };
        let resource = |count| Resource { entity_refs: vec![entity.clone(); count], ..Resource::default() };
        let of = |count| Message::Resource.excess(&resource(count).encode_to_vec().into()).unwrap();
        assert_eq!(of(MAX_ITEMS / 10), None);
        assert!(of(MAX_ITEMS / 10 + 1).is_some());
        assert_eq!(items_of_source(&resource(7), &InstrumentationScope::default()), 70);
    }
}
