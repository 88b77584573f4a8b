//! What is written is read again: OTLP without any loss, Jaeger's format but for what it has no place for.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

mod any_spans;

use std::collections::BTreeSet;

use any_spans::any_spans;
use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, Status, status::StatusCode},
};
use proptest::prelude::*;
use trace_formats::{Decoded, Format, Limits, decode, encode};

fn read(bytes: &[u8]) -> Decoded {
    let decoded = decode(bytes, &Limits::default()).unwrap();
    assert_eq!(decoded.problems, []);
    decoded
}

/// A span with what it stands in, in an order that can be compared.
type Flat = (Resource, InstrumentationScope, Span);

fn flat(spans: &[ResourceSpans]) -> Vec<Flat> {
    let mut flat = Vec::new();
    for group in spans {
        for scope_spans in &group.scope_spans {
            for span in &scope_spans.spans {
                let resource = group.resource.clone().unwrap_or_default();
                flat.push((resource, scope_spans.scope.clone().unwrap_or_default(), span.clone()));
            }
        }
    }
    flat.sort_by_key(|(.., span)| format!("{span:?}"));
    flat
}

/// Removes what Jaeger's format has no place for: see `encode::jaeger_json`.
fn as_in_jaeger(spans: &[ResourceSpans]) -> Vec<Flat> {
    let mut spans = flat(spans);
    for (resource, scope, span) in &mut spans {
        resource.dropped_attributes_count = 0;
        by_service_name(&mut resource.attributes);
        (scope.attributes, scope.dropped_attributes_count) = (Vec::new(), 0);
        let start = &mut span.start_time_unix_nano;
        *start -= *start % 1000;
        let end = &mut span.end_time_unix_nano;
        *end = (*end - *end % 1000).max(*start);
        for event in &mut span.events {
            event.time_unix_nano -= event.time_unix_nano % 1000;
            event.dropped_attributes_count = 0;
            without_empty(&mut event.attributes);
        }
        for link in &mut span.links {
            if link.attributes.is_empty() && link.trace_state.is_empty() && link.flags == 0 {
                link.dropped_attributes_count = 0;
            }
        }
        without_empty(&mut span.attributes);
        without_empty(&mut resource.attributes);
        span.status.take_if(|status| *status == Status::default());
    }
    spans.sort_by_key(|(.., span)| format!("{span:?}"));
    spans
}

/// The first name of a service is no tag.
fn by_service_name(attributes: &mut Vec<KeyValue>) {
    let is_name = |attribute: &KeyValue| {
        let value = attribute.value.as_ref().and_then(|value| value.value.as_ref());
        attribute.key == "service.name" && matches!(value, Some(Value::StringValue(name)) if !name.is_empty())
    };
    if let Some(index) = attributes.iter().position(is_name) {
        let name = attributes.remove(index);
        attributes.insert(0, name);
    }
}

/// No value and an empty value are the same.
fn without_empty(attributes: &mut [KeyValue]) {
    for attribute in attributes {
        attribute.value.take_if(|value| value.value.is_none());
    }
}

/// Ids and times that the format can hold.
fn representable(spans: &[ResourceSpans]) -> bool {
    let spans = || spans.iter().flat_map(|group| &group.scope_spans).flat_map(|scope| &scope.spans);
    // A start below a microsecond is none.
    spans().all(|span| span.start_time_unix_nano >= 1000)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn otlp_json_comes_back(spans in any_spans()) {
        prop_assume!(!spans.is_empty());
        let decoded = read(encode::otlp_json(&spans).as_bytes());
        prop_assert_eq!(decoded.format, Format::OtlpJson);
        prop_assert_eq!(decoded.spans, spans);
    }

    #[test]
    fn otlp_json_in_lines_comes_back(spans in any_spans()) {
        prop_assume!(!spans.is_empty());
        let lines: Vec<_> = spans.iter().map(|group| encode::otlp_json(std::slice::from_ref(group)) + "\n").collect();
        prop_assert_eq!(read(lines.concat().as_bytes()).spans, spans);
    }

    #[test]
    fn otlp_protobuf_comes_back(spans in any_spans()) {
        prop_assume!(!spans.is_empty());
        let decoded = read(&encode::otlp_protobuf(spans.clone()));
        prop_assert_eq!(decoded.format, Format::OtlpProtobuf);
        prop_assert_eq!(decoded.spans, spans);
    }

    #[test]
    fn jaeger_json_comes_back(spans in any_spans()) {
        prop_assume!(!spans.is_empty() && representable(&spans));
        let decoded = read(encode::jaeger_json(&spans).as_bytes());
        prop_assert_eq!(decoded.format, Format::JaegerJson);
        let written = as_in_jaeger(&spans);
        prop_assert_eq!(as_in_jaeger(&decoded.spans), written);
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        _ = decode(&bytes, &Limits::default());
    }

    #[test]
    fn no_cut_or_changed_document_panics(spans in any_spans(), at in any::<usize>(), byte in any::<u8>()) {
        for mut bytes in [
            encode::otlp_json(&spans).into_bytes(),
            encode::jaeger_json(&spans).into_bytes(),
            encode::otlp_protobuf(spans),
        ] {
            let at = at % (bytes.len() + 1);
            _ = decode(&bytes[..at], &Limits::default());
            if let Some(changed) = bytes.get_mut(at) {
                *changed = byte;
            }
            _ = decode(&bytes, &Limits::default());
        }
    }
}

fn span(name: &str) -> Span {
    Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        name: name.into(),
        start_time_unix_nano: 1_700_000_000_123_456_789,
        end_time_unix_nano: 1_700_000_001_123_456_789,
        ..Span::default()
    }
}

fn one(span: Span) -> Vec<ResourceSpans> {
    vec![ResourceSpans {
        scope_spans: vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }],
        ..ResourceSpans::default()
    }]
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), key_strindex: 0 }
}

#[test]
fn nan_comes_back() {
    let spans = one(Span { attributes: vec![attribute("n", Value::DoubleValue(f64::NAN))], ..span("nan") });
    for bytes in [encode::otlp_json(&spans), encode::jaeger_json(&spans)] {
        let decoded = read(bytes.as_bytes());
        let value = decoded.spans[0].scope_spans[0].spans[0].attributes[0].value.clone().unwrap().value;
        assert!(matches!(value, Some(Value::DoubleValue(number)) if number.is_nan()), "{value:?} of {bytes}");
    }
}

#[test]
fn otlp_json_is_as_specified() {
    let attributes = vec![attribute("bytes", Value::BytesValue(vec![255, 0])), attribute("n", Value::IntValue(-1))];
    let status = Some(Status { code: StatusCode::Error.into(), message: String::new() });
    let document = encode::otlp_json(&one(Span { kind: 3, attributes, status, ..span("a") }));
    assert_eq!(
        document,
        r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"01010101010101010101010101010101","spanId":"0202020202020202","name":"a","kind":3,"startTimeUnixNano":"1700000000123456789","endTimeUnixNano":"1700000001123456789","attributes":[{"key":"bytes","value":{"bytesValue":"/wA="}},{"key":"n","value":{"intValue":"-1"}}],"status":{"code":2}}]}]}]}"#
    );
}

#[test]
fn jaeger_json_has_the_members_that_its_ui_reads() {
    let attributes = vec![attribute("error", Value::StringValue("not the status".into()))];
    let status = Some(Status { code: StatusCode::Error.into(), message: "late".into() });
    let spans = one(Span { kind: 3, parent_span_id: vec![3; 8], attributes, status, ..span("a") });
    let document: serde_json::Value = serde_json::from_str(&encode::jaeger_json(&spans)).unwrap();
    let keys = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let trace = &document["data"][0];
    assert_eq!(keys(trace), ["processes", "spans", "traceID", "warnings"].map(str::to_owned).into());
    let span = &trace["spans"][0];
    assert_eq!(
        keys(span),
        [
            "traceID",
            "spanID",
            "flags",
            "operationName",
            "references",
            "startTime",
            "duration",
            "tags",
            "logs",
            "processID",
            "warnings"
        ]
        .map(str::to_owned)
        .into()
    );
    assert_eq!(span["startTime"], 1_700_000_000_123_456_u64);
    assert_eq!(span["duration"], 1_000_000);
    assert_eq!(span["references"][0]["refType"], "CHILD_OF");
    assert_eq!(span["references"][0]["spanID"], "0303030303030303");
    let tags: Vec<_> = span["tags"].as_array().unwrap().iter().map(|tag| (&tag["key"], &tag["value"])).collect();
    let text = |text: &str| serde_json::Value::from(text);
    assert_eq!(
        tags,
        [
            (&text("span.kind"), &text("client")),
            (&text("otel.status_code"), &text("ERROR")),
            (&text("otel.status_description"), &text("late")),
            (&text("error"), &serde_json::Value::from(true)),
            (&text("error"), &text("not the status")),
        ]
    );
    assert_eq!(trace["processes"]["p1"]["serviceName"], "OTLPResourceNoServiceName");
}

#[test]
fn times_that_were_in_order_stay_in_order_in_microseconds() {
    let (first, second) = (span("first"), span("second"));
    let end = first.end_time_unix_nano;
    let second = Span { start_time_unix_nano: end, end_time_unix_nano: end + 999, ..second };
    let decoded = read(encode::jaeger_json(&[one(first), one(second)].concat()).as_bytes());
    let spans: Vec<_> = decoded.spans.iter().flat_map(|group| &group.scope_spans[0].spans).collect();
    assert_eq!(spans[0].end_time_unix_nano, spans[1].start_time_unix_nano);
    assert!(spans[1].end_time_unix_nano >= spans[1].start_time_unix_nano);
}
