//! Everything that is exported of an aggregate, field by field: what people see in Jaeger, and count on.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

use std::collections::{BTreeMap, BTreeSet};

use e2e::{collector::Collector, up::Up};
use fanout_proto::gateway::v1::GetProfileRequest;
use opentelemetry_proto::tonic::{
    common::v1::{KeyValue, any_value::Value},
    trace::v1::{ResourceSpans, Span, span::SpanKind},
};
use tonic::Request;

const TRACE: u128 = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;

/// Each span with its process, kind, parent, flags and status, and its attributes in their order. `N` is a number that
/// differs.
const EXPECTED: &str = r#"country-service: SPAN_KIND_INTERNAL delay in country-service's SPAN_KIND_SERVER fanout.country.v1.CountryService/ListCountries, flags 0x101, status 0
  fanout.delay_ms=N.N
country-service: SPAN_KIND_SERVER fanout.country.v1.CountryService/ListCountries in gateway's SPAN_KIND_CLIENT fanout.country.v1.CountryService/ListCountries, flags 0x301, status 0
  rpc.system.name="grpc"
  rpc.method="fanout.country.v1.CountryService/ListCountries"
  server.address="127.0.0.1"
  server.port="N"
  rpc.response.status_code="OK"
gateway: SPAN_KIND_CLIENT fanout.country.v1.CountryService/ListCountries in gateway's SPAN_KIND_INTERNAL fan_out, flags 0x101, status 0
  rpc.system.name="grpc"
  rpc.method="fanout.country.v1.CountryService/ListCountries"
  server.address="127.0.0.1"
  server.port="N"
  network.peer.address="127.0.0.1"
  network.peer.port="N"
  fanout.attempt="1"
  rpc.response.status_code="OK"
gateway: SPAN_KIND_CLIENT fanout.user.v1.UserService/GetUser in gateway's SPAN_KIND_INTERNAL fan_out, flags 0x101, status 0
  rpc.system.name="grpc"
  rpc.method="fanout.user.v1.UserService/GetUser"
  server.address="127.0.0.1"
  server.port="N"
  network.peer.address="127.0.0.1"
  network.peer.port="N"
  fanout.attempt="1"
  rpc.response.status_code="OK"
gateway: SPAN_KIND_INTERNAL fan_out in gateway's SPAN_KIND_SERVER fanout.gateway.v1.GatewayService/GetProfile, flags 0x101, status 0
  fanout.strategy="concurrent"
  fanout.width="2"
  fanout.wall_ms=N.N
  fanout.saved_ms=N.N
  fanout.avoidable_ms=N.N
gateway: SPAN_KIND_SERVER fanout.gateway.v1.GatewayService/GetProfile in another process, flags 0x301, status 0
  rpc.system.name="grpc"
  rpc.method="fanout.gateway.v1.GatewayService/GetProfile"
  server.address="127.0.0.1"
  server.port="N"
  rpc.response.status_code="OK"
user-service: SPAN_KIND_CLIENT SELECT users in user-service's SPAN_KIND_SERVER fanout.user.v1.UserService/GetUser, flags 0x101, status 0
  db.system.name="sqlite"
  db.namespace="…/users.db"
  db.operation.name="SELECT"
  db.collection.name="users"
  db.query.text="SELECT id, display_name, email, country_code, create_time FROM users WHERE id = $1"
user-service: SPAN_KIND_INTERNAL delay in user-service's SPAN_KIND_SERVER fanout.user.v1.UserService/GetUser, flags 0x101, status 0
  fanout.delay_ms=N.N
user-service: SPAN_KIND_SERVER fanout.user.v1.UserService/GetUser in gateway's SPAN_KIND_CLIENT fanout.user.v1.UserService/GetUser, flags 0x301, status 0
  rpc.system.name="grpc"
  rpc.method="fanout.user.v1.UserService/GetUser"
  server.address="127.0.0.1"
  server.port="N"
  rpc.response.status_code="OK"
"#;

/// Returns a value with its type, and without what differs from run to run.
fn value(attribute: &KeyValue) -> String {
    match attribute.value.as_ref().and_then(|value| value.value.as_ref()).unwrap() {
        Value::StringValue(text) if attribute.key.ends_with("port") && text.parse::<u16>().is_ok() => {
            "\"N\"".to_owned()
        }
        Value::StringValue(text) if attribute.key == "db.namespace" && text.ends_with("/users.db") => {
            "\"…/users.db\"".to_owned()
        }
        Value::StringValue(text) => format!("{text:?}"),
        Value::IntValue(number) => number.to_string(),
        Value::DoubleValue(_) => "N.N".to_owned(),
        other => format!("{other:?}"),
    }
}

fn attributes(attributes: &[KeyValue]) -> String {
    let lines: Vec<_> =
        attributes.iter().map(|attribute| format!("  {}={}\n", attribute.key, value(attribute))).collect();
    lines.concat()
}

/// Returns a span as a few lines.
fn shown(service: &str, span: &Span, names: &BTreeMap<Vec<u8>, String>) -> String {
    let parent = names.get(&span.parent_span_id).map_or("another process", String::as_str);
    let status = span.status.as_ref().unwrap();
    assert_eq!((span.events.len(), span.links.len()), (0, 0), "{span:#?}");
    let dropped = [span.dropped_attributes_count, span.dropped_events_count, span.dropped_links_count];
    assert_eq!((dropped, &*span.trace_state, &*status.message), ([0; 3], "shop=1", ""), "{span:#?}");
    assert!(span.start_time_unix_nano <= span.end_time_unix_nano, "{span:#?}");
    let (kind, name, flags) = (span.kind(), &span.name, span.flags);
    format!(
        "{service}: {} {name} in {parent}, flags {flags:#x}, status {}\n{}",
        kind.as_str_name(),
        status.code,
        attributes(&span.attributes)
    )
}

/// Returns the spans of a trace and the names of their services, all that belong to one scope of one resource.
fn spans(messages: &[ResourceSpans]) -> Vec<(String, Span)> {
    let mut found = Vec::new();
    for message in messages {
        let resource = message.resource.as_ref().unwrap();
        let keys: Vec<_> = resource.attributes.iter().map(|attribute| &*attribute.key).collect();
        let mut sorted = keys.clone();
        sorted.sort_unstable();
        let sdk = ["telemetry.sdk.language", "telemetry.sdk.name", "telemetry.sdk.version"];
        assert_eq!(sorted, [&["service.name"][..], &sdk].concat(), "{resource:#?}");
        let service = resource.attributes.iter().find(|attribute| attribute.key == "service.name").unwrap();
        let service = value(service).trim_matches('"').to_owned();
        assert_eq!((message.scope_spans.len(), &*message.schema_url), (1, ""));
        let scope = message.scope_spans[0].scope.as_ref().unwrap();
        assert_eq!((&*scope.name, &*scope.version, scope.attributes.len()), ("fanout", "", 0));
        let of_trace = message.scope_spans[0].spans.iter().filter(|span| span.trace_id == TRACE.to_be_bytes());
        found.extend(of_trace.map(|span| (service.clone(), span.clone())));
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_aggregate_is_exported_with_these_fields_and_no_others() {
    let collector = Collector::start().await;
    let mut up = Up::start_with(&["--delay", "10ms"], &collector.env());
    let mut request = Request::new(GetProfileRequest { user_id: "ada".into(), ..GetProfileRequest::default() });
    request.metadata_mut().insert("traceparent", format!("00-{TRACE:032x}-b7ad6b7169203331-01").parse().unwrap());
    request.metadata_mut().insert("tracestate", "shop=1".parse().unwrap());
    up.gateway().await.get_profile(request).await.unwrap();
    // At its end, each service exports what it still has.
    assert_eq!(up.stop(), Some(0));
    let spans = spans(&collector.messages());
    let name = |service: &str, span: &Span| format!("{service}'s {} {}", span.kind().as_str_name(), span.name);
    let names = spans.iter().map(|(service, span)| (span.span_id.clone(), name(service, span))).collect();
    let mut shown: Vec<_> = spans.iter().map(|(service, span)| shown(service, span, &names)).collect();
    shown.sort();
    assert!(spans.iter().all(|(_, span)| span.kind() != SpanKind::Unspecified));
    let shown = shown.concat();
    assert!(shown == EXPECTED, "exported:\n{shown}");
}

/// A request whose `traceparent` cannot be read begins a trace of its own, like one that has none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_malformed_traceparent_begins_a_trace() {
    let collector = Collector::start().await;
    let mut up = Up::start_with(&["--delay", "0"], &collector.env());
    let mut gateway = up.gateway().await;
    let mut traces = BTreeSet::new();
    let zeros = format!("00-{:032}-{:016}-01", 0, 0);
    for malformed in ["garbage", &*zeros, "00-0AF7651916CD43DD8448EB211C80319C-B7AD6B7169203331-01"] {
        let mut request = Request::new(GetProfileRequest { user_id: "ada".into(), ..GetProfileRequest::default() });
        request.metadata_mut().insert("traceparent", malformed.parse().unwrap());
        let reply = gateway.get_profile(request).await.unwrap();
        let ids = reply.metadata().get("traceresponse").unwrap().to_str().unwrap();
        traces.insert(u128::from_str_radix(ids.split('-').nth(1).unwrap(), 16).unwrap().to_be_bytes().to_vec());
    }
    assert_eq!(up.stop(), Some(0));
    assert!(traces.len() == 3 && !traces.contains(&vec![0; 16]), "{traces:?}");
    let messages = collector.messages();
    let spans = messages.iter().flat_map(|message| &message.scope_spans).flat_map(|scope| &scope.spans);
    let servers: Vec<_> = spans.filter(|span| span.kind() == SpanKind::Server).collect();
    assert_eq!(servers.iter().filter(|span| span.parent_span_id.is_empty()).count(), 3, "{servers:#?}");
    assert!(servers.iter().all(|span| traces.contains(&span.trace_id)), "{servers:#?}");
}
