//! Any spans, for property tests.

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value::Value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span},
};
use proptest::{collection::vec, prelude::*};

pub(crate) fn any_spans() -> impl Strategy<Value = Vec<ResourceSpans>> {
    vec(resource_spans(), 0..4)
}

fn resource_spans() -> impl Strategy<Value = ResourceSpans> {
    let resource = proptest::option::of((attributes(), any::<u32>()));
    (resource, vec(scope_spans(), 1..3), text()).prop_map(|(resource, scope_spans, schema_url)| {
        let resource = resource.map(|(attributes, dropped_attributes_count)| Resource {
            attributes,
            dropped_attributes_count,
            entity_refs: Vec::new(),
        });
        ResourceSpans { resource, scope_spans, schema_url }
    })
}

fn scope_spans() -> impl Strategy<Value = ScopeSpans> {
    let scope = (text(), text(), attributes(), any::<u32>()).prop_map(|(name, version, attributes, dropped)| {
        InstrumentationScope { name, version, attributes, dropped_attributes_count: dropped }
    });
    (proptest::option::of(scope), vec(span(), 1..4), text()).prop_map(|(scope, spans, schema_url)| ScopeSpans {
        scope,
        spans,
        schema_url,
    })
}

fn span() -> impl Strategy<Value = Span> {
    let ids = (id(16), id(8), prop_oneof![Just(Vec::new()), id(8)]);
    let times = (1_u64..u64::MAX, any::<u64>());
    let counts = (any::<u32>(), any::<u32>(), any::<u32>(), any::<u32>());
    let status = proptest::option::of((text(), 0..3));
    let lists = (attributes(), vec(event(), 0..3), vec(link(), 0..3));
    (ids, text(), text(), 0..6, times, counts, status, lists).prop_map(
        |(ids, name, trace_state, kind, times, counts, status, lists)| Span {
            trace_id: ids.0,
            span_id: ids.1,
            parent_span_id: ids.2,
            trace_state,
            flags: counts.0,
            name,
            kind,
            start_time_unix_nano: times.0,
            end_time_unix_nano: times.1,
            attributes: lists.0,
            dropped_attributes_count: counts.1,
            events: lists.1,
            dropped_events_count: counts.2,
            links: lists.2,
            dropped_links_count: counts.3,
            status: status.map(|(message, code)| Status { message, code }),
        },
    )
}

fn event() -> impl Strategy<Value = span::Event> {
    (any::<u64>(), text(), attributes(), any::<u32>()).prop_map(|(time_unix_nano, name, attributes, dropped)| {
        span::Event { time_unix_nano, name, attributes, dropped_attributes_count: dropped }
    })
}

fn link() -> impl Strategy<Value = span::Link> {
    (id(16), id(8), text(), attributes(), any::<u32>(), any::<u32>()).prop_map(
        |(trace_id, span_id, trace_state, attributes, dropped_attributes_count, flags)| span::Link {
            trace_id,
            span_id,
            trace_state,
            attributes,
            dropped_attributes_count,
            flags,
        },
    )
}

/// A few ids, so that spans belong together, and any others.
fn id(bytes: usize) -> impl Strategy<Value = Vec<u8>> {
    let few = (1_u8..4).prop_map(move |number| vec![number; bytes]);
    let others = vec(any::<u8>(), bytes).prop_filter("an id", |id| id.iter().any(|byte| *byte != 0));
    prop_oneof![few, others]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{0,8}", any::<String>()]
}

/// Keys that formats have a meaning for among them.
fn key() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec!["event", "http.method", "service.name", "otel.scope", "é"]);
    prop_oneof![known.prop_map(str::to_owned), text()]
}

pub(crate) fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    let attribute =
        (key(), proptest::option::of(value())).prop_map(|(key, value)| KeyValue { key, value, key_strindex: 0 });
    vec(attribute, 0..4)
}

fn value() -> impl Strategy<Value = AnyValue> {
    let leaf = prop_oneof![
        Just(None),
        text().prop_map(|text| Some(Value::StringValue(text))),
        any::<bool>().prop_map(|value| Some(Value::BoolValue(value))),
        any::<i64>().prop_map(|number| Some(Value::IntValue(number))),
        // NaN is not equal to itself: tested by itself.
        (prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO | prop::num::f64::INFINITE)
            .prop_map(|number| Some(Value::DoubleValue(number))),
        vec(any::<u8>(), 0..8).prop_map(|bytes| Some(Value::BytesValue(bytes))),
    ];
    leaf.prop_map(|value| AnyValue { value }).prop_recursive(3, 8, 3, |inner| {
        let list = vec(inner.clone(), 0..3).prop_map(|values| Value::ArrayValue(ArrayValue { values }));
        let entry =
            (key(), proptest::option::of(inner)).prop_map(|(key, value)| KeyValue { key, value, key_strindex: 0 });
        let map = vec(entry, 0..3).prop_map(|values| Value::KvlistValue(KeyValueList { values }));
        prop_oneof![list, map].prop_map(|value| AnyValue { value: Some(value) })
    })
}
