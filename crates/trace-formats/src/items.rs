//! How many parts there are that take memory by themselves, whatever their size: [`Limits::items`](crate::Limits::items).

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, EntityRef, InstrumentationScope, KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};

/// Something with attributes.
pub(crate) trait Items {
    /// Returns the number of its attributes, events and links, and of the values within attributes.
    fn items(&self) -> usize;
}

impl Items for Span {
    fn items(&self) -> usize {
        let events: usize = self.events.iter().map(|event| 1 + event.attributes.items()).sum();
        let links: usize = self.links.iter().map(|link| 1 + link.attributes.items()).sum();
        self.attributes.items() + events + links
    }
}

impl Items for Resource {
    fn items(&self) -> usize {
        let entity = |entity: &EntityRef| 1 + entity.id_keys.len() + entity.description_keys.len();
        self.attributes.items() + self.entity_refs.iter().map(entity).sum::<usize>()
    }
}

impl Items for InstrumentationScope {
    fn items(&self) -> usize {
        self.attributes.items()
    }
}

/// Of the resource: spans are counted by themselves.
impl Items for ResourceSpans {
    fn items(&self) -> usize {
        self.resource.as_ref().map_or(0, Items::items)
    }
}

/// Of the scope: spans are counted by themselves.
impl Items for ScopeSpans {
    fn items(&self) -> usize {
        self.scope.as_ref().map_or(0, Items::items)
    }
}

impl Items for Vec<KeyValue> {
    fn items(&self) -> usize {
        let mut count = self.len();
        // Lists and maps, which may be in one another.
        let mut open: Vec<&Value> = self.iter().filter_map(|attribute| composite(attribute.value.as_ref())).collect();
        while let Some(value) = open.pop() {
            match value {
                Value::ArrayValue(list) => {
                    count += list.values.len();
                    open.extend(list.values.iter().filter_map(|value| composite(Some(value))));
                }
                Value::KvlistValue(map) => {
                    count += map.values.len();
                    open.extend(map.values.iter().filter_map(|member| composite(member.value.as_ref())));
                }
                _ => {}
            }
        }
        count
    }
}

fn composite(value: Option<&AnyValue>) -> Option<&Value> {
    value?.value.as_ref().filter(|value| matches!(value, Value::ArrayValue(_) | Value::KvlistValue(_)))
}
