//! What senders of OTLP see.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

mod fixture;

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use opentelemetry::trace::{Tracer, TracerProvider};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse},
    common::v1::{InstrumentationScope, KeyValue},
    resource::v1 as proto,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use prost::Message;
use serde_json::json;

use self::fixture::{Viewer, otlp_json, request, trace_id};

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

fn export(spans: Vec<Span>) -> ExportTraceServiceRequest {
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }] }
}

fn span(trace: u8, id: u8) -> Span {
    Span {
        trace_id: vec![trace; 16],
        span_id: vec![id; 8],
        name: format!("span {id}"),
        start_time_unix_nano: 1_000,
        end_time_unix_nano: 2_000,
        ..Span::default()
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stock_exporter_over_grpc_is_understood() {
    let viewer = Viewer::start().await;
    let endpoint = format!("http://{}", viewer.grpc);
    let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).build().unwrap();
    let resource = Resource::builder().with_service_name("shop").build();
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
    provider.tracer("test").in_span("checkout", |_| ());
    tokio::task::spawn_blocking(move || provider.shutdown()).await.unwrap().unwrap();

    let list = viewer.get("/api/traces").await;
    assert_eq!(list["traces"][0]["root"], json!({"service": "shop", "name": "checkout"}), "{list}");
    assert_eq!(list["traces"][0]["spans"], 1);
    assert_eq!(viewer.get("/api/services").await["services"][0], json!({"name": "shop", "operations": ["checkout"]}));
    viewer.stop().await;
}

#[tokio::test]
async fn over_http_protobuf_and_json_and_gzip_are_taken_and_answered_in_kind() {
    let viewer = Viewer::start().await;
    let protobuf = export(vec![span(1, 1)]).encode_to_vec();
    let reply = viewer.post_traces(PROTOBUF, &protobuf).await;
    assert_eq!((reply.status, reply.header("content-type"), reply.body.len()), (200, Some(PROTOBUF), 0));

    let json = otlp_json(&trace_id(2), "shop", &[(1, 0, "checkout", 0, 5)]);
    let reply = viewer.post_traces("application/json; charset=utf-8", json.as_bytes()).await;
    assert_eq!((reply.status, reply.header("content-type"), reply.text().as_str()), (200, Some(JSON), "{}"));

    let headers = [("content-type", PROTOBUF), ("content-encoding", "gzip")];
    let packed = gzip(&export(vec![span(3, 1)]).encode_to_vec());
    assert_eq!(request(viewer.http, "POST", "/v1/traces", &headers, &packed).await.status, 200);

    let status = viewer.get("/api/status").await;
    assert_eq!((&status["traces"], &status["spans"]), (&json!(3), &json!(3)), "{status}");
}

#[tokio::test]
async fn metrics_and_logs_are_accepted_and_dropped() {
    let viewer = Viewer::start().await;
    for path in ["/v1/metrics", "/v1/logs"] {
        let reply = request(viewer.http, "POST", path, &[("content-type", PROTOBUF)], b"").await;
        assert_eq!((reply.status, reply.body.len()), (200, 0));
        let reply = request(viewer.http, "POST", path, &[("content-type", JSON)], b"{}").await;
        assert_eq!((reply.status, reply.text().as_str()), (200, "{}"));
    }
    assert_eq!(viewer.get("/api/status").await["received"], json!({"spans": 0, "metrics": 2, "logs": 2}));
}

#[tokio::test]
async fn spans_without_ids_are_rejected_and_the_others_kept() {
    let viewer = Viewer::start().await;
    let bad = Span { trace_id: vec![0; 16], ..span(1, 1) };
    let worse = Span { span_id: vec![1; 3], ..span(1, 1) };
    let reply = viewer.post_traces(PROTOBUF, &export(vec![bad, worse, span(1, 1)]).encode_to_vec()).await;
    assert_eq!(reply.status, 200);
    let partial = ExportTraceServiceResponse::decode(&*reply.body).unwrap().partial_success.unwrap();
    assert_eq!(partial.rejected_spans, 2);
    assert_eq!(partial.error_message, "span 'span 1': trace_id has 16 bytes or is zero: expected 16");
    let status = viewer.get("/api/status").await;
    assert_eq!((&status["spans"], &status["dropped"]["reasons"]["invalid"]), (&json!(1), &json!(2)));
}

#[tokio::test]
async fn a_span_that_comes_twice_is_kept_once() {
    let viewer = Viewer::start().await;
    let few = export(vec![span(1, 1), span(1, 2), span(1, 1)]).encode_to_vec();
    let many = export((0..100).map(|id| span(2, id + 1)).collect()).encode_to_vec();
    for body in [&few, &few, &many, &many] {
        assert_eq!(viewer.post_traces(PROTOBUF, body).await.status, 200);
    }
    let status = viewer.get("/api/status").await;
    assert_eq!((&status["spans"], &status["duplicates"]), (&json!(102), &json!(1 + 3 + 100)), "{status}");
    assert_eq!(status["dropped"]["spans"], 0);
}

#[tokio::test]
async fn what_is_small_on_the_wire_and_large_when_decoded_is_rejected() {
    // Two bytes each.
    let wide = |trace, id, attributes| Span { attributes: vec![KeyValue::default(); attributes], ..span(trace, id) };
    let viewer = Viewer::start().await;
    let protobuf = export(vec![wide(1, 1, 20_001), wide(1, 2, 20_000)]).encode_to_vec();
    let json = otlp_json(&trace_id(2), "shop", &[(1, 0, "checkout", 0, 5)]);
    assert_eq!(viewer.post_traces(JSON, json.as_bytes()).await.text(), "{}");
    let partial = partial(&viewer.post_traces(PROTOBUF, &protobuf).await.body);
    assert_eq!(partial.rejected_spans, 1);
    assert!(partial.error_message.contains("more than 20000 attributes"), "{partial:?}");

    // A resource counts for each span of it.
    let mut request = export(vec![span(3, 1), span(3, 2)]);
    request.resource_spans[0].resource =
        Some(proto::Resource { attributes: vec![KeyValue::default(); 20_001], ..proto::Resource::default() });
    let partial = self::partial(&viewer.post_traces(PROTOBUF, &request.encode_to_vec()).await.body);
    assert_eq!(partial.rejected_spans, 2, "{partial:?}");

    // 100 spans of a trace are all that it may have of those, or 100 resources.
    let with_resource = |number: u8| {
        let mut request = export(vec![span(4, number)]);
        let version = number.to_string();
        request.resource_spans[0].scope_spans[0].scope = Some(InstrumentationScope { version, ..Default::default() });
        let attributes = vec![KeyValue::default(); 20_000];
        request.resource_spans[0].resource = Some(proto::Resource { attributes, ..Default::default() });
        request
    };
    let mut rejected = 0;
    for number in 1..=60 {
        for request in [export(vec![wide(4, 100 + number, 20_000)]), with_resource(number)] {
            let reply = viewer.post_traces(PROTOBUF, &request.encode_to_vec()).await;
            let partial = ExportTraceServiceResponse::decode(&*reply.body).unwrap().partial_success;
            rejected += partial.map_or(0, |partial| {
                assert!(partial.error_message.starts_with("a trace takes too much"), "{partial:?}");
                partial.rejected_spans
            });
        }
    }
    assert_eq!(rejected, 20);
    let status = viewer.get("/api/status").await;
    assert_eq!((&status["spans"], &status["dropped"]["reasons"]["invalid"]), (&json!(102), &json!(3)), "{status}");

    // A million empty spans.
    let empty = [&[0x0a, 0x84, 0x89, 0x7a, 0x12, 0x80, 0x89, 0x7a][..], &[0x12, 0].repeat(1_000_000)].concat();
    let reply = viewer.post_traces(PROTOBUF, &empty).await;
    let message = tonic_types::Status::decode(&*reply.body).unwrap().message;
    assert_eq!(
        (reply.status, message.contains("more than 1000000 resources, scopes and spans")),
        (400, true),
        "{message}"
    );
}

fn partial(body: &[u8]) -> ExportTracePartialSuccess {
    ExportTraceServiceResponse::decode(body).unwrap().partial_success.expect("a part was rejected")
}

#[tokio::test]
async fn new_names_replace_old_ones() {
    let viewer = Viewer::start().await;
    for number in 1..=3_u64 {
        let spans = (0..800).map(|id: u32| Span {
            name: format!("{number} {id}"),
            span_id: (u64::from(id) + 1).to_be_bytes().to_vec(),
            ..span(u8::try_from(number).unwrap(), 1)
        });
        let body = export(spans.collect()).encode_to_vec();
        assert_eq!(viewer.post_traces(PROTOBUF, &body).await.status, 200);
    }
    let services = viewer.get("/api/services").await;
    let operations = services["services"][0]["operations"].as_array().unwrap();
    assert!(operations.len() <= 1_000 && operations.contains(&json!("3 799")), "{}", operations.len());
    assert!(!operations.contains(&json!("1 0")), "the oldest names have made room");
}

/// Method, path, headers, body; status and a part of the message.
type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a [u8], u16, &'a str);

#[tokio::test]
async fn what_is_wrong_is_said_with_the_status_that_otlp_has_for_it() {
    let viewer = Viewer::start().await;
    let gzipped = ("content-encoding", "gzip");
    // 100 MiB of zeros.
    let bomb = gzip(&vec![0; 100 << 20]);
    let large = vec![0; (16 << 20) + 1];
    let cases: &[Case<'_>] = &[
        ("GET", "/v1/traces", &[], b"", 405, "the method is GET: expected POST"),
        ("POST", "/v1/spans", &[], b"", 404, "unknown path '/v1/spans'"),
        ("POST", "/v1/traces", &[("content-type", "text/plain")], b"", 415, "content-type 'text/plain'"),
        ("POST", "/v1/traces", &[("content-type", JSON), ("content-encoding", "br")], b"", 415, "encoding 'br'"),
        ("POST", "/v1/traces", &[("content-type", JSON)], b"{", 400, "the body is not OTLP JSON"),
        ("POST", "/v1/logs", &[("content-type", JSON)], b"{", 400, "the body is not JSON"),
        ("POST", "/v1/traces", &[("content-type", JSON), gzipped], b"x", 400, "the body is not valid gzip"),
        ("POST", "/v1/traces", &[("content-type", JSON), gzipped], &bomb, 413, "16777216 bytes when decompressed"),
        ("POST", "/v1/logs", &[("content-type", JSON), gzipped], &bomb, 413, "16777216 bytes when decompressed"),
        ("POST", "/v1/traces", &[("content-type", JSON)], &large, 413, "more than 16777216 bytes"),
    ];
    for (method, path, headers, body, status, message) in cases {
        let reply = request(viewer.http, method, path, headers, body).await;
        assert_eq!(reply.status, *status, "{message}: {}", reply.text());
        assert!(reply.json()["message"].as_str().unwrap().contains(message), "{message}: {}", reply.text());
    }
    let reply = viewer.post_traces(PROTOBUF, b"\xff").await;
    assert_eq!((reply.status, reply.header("content-type")), (400, Some(PROTOBUF)));
    assert!(tonic_types::Status::decode(&*reply.body).unwrap().message.contains("not an OTLP request"));
    let status = viewer.get("/api/status").await;
    assert_eq!((&status["spans"], &status["refused_requests"]), (&json!(0), &json!(cases.len() + 1)));
}

#[tokio::test]
async fn pages_of_this_machine_may_send_and_those_of_other_sites_may_not() {
    let viewer = Viewer::start().await;
    let json = otlp_json(&trace_id(1), "browser", &[(1, 0, "click", 0, 5)]);
    let send = async |method: &str, headers: &[(&str, &str)], body: &str| {
        request(viewer.http, method, "/v1/traces", headers, body.as_bytes()).await
    };
    for headers in [
        &[("origin", "http://evil.example"), ("content-type", JSON)][..],
        &[("origin", "null"), ("content-type", JSON)],
        &[("origin", "http://localhost.evil.example"), ("host", "localhost.evil.example"), ("content-type", JSON)],
        &[("sec-fetch-site", "cross-site"), ("content-type", JSON)],
    ] {
        let reply = send("POST", headers, &json).await;
        assert_eq!((reply.status, reply.json()["code"].clone()), (403, json!(7)), "{headers:?}: {}", reply.text());
        assert_eq!(reply.header("access-control-allow-origin"), None);
        assert_eq!(send("OPTIONS", headers, "").await.status, 403, "{headers:?}");
    }
    assert_eq!(viewer.get("/api/status").await["spans"], 0);

    let page = "http://localhost:3000";
    let asked = [
        ("origin", page),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "content-type"),
    ];
    let preflight = send("OPTIONS", &asked, "").await;
    assert_eq!((preflight.status, preflight.header("access-control-allow-origin")), (204, Some(page)));
    assert_eq!(preflight.header("access-control-allow-headers"), Some("content-type"));
    let site = ("sec-fetch-site", "cross-site");
    let reply = send("POST", &[("origin", page), site, ("content-type", JSON)], &json).await;
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (200, Some(page)), "{}", reply.text());
    // A page cannot send this without asking, and this server does not take it.
    let reply = send("POST", &[("origin", page), ("content-type", "text/plain")], &json).await;
    assert_eq!(reply.status, 415);
    assert_eq!(viewer.get("/api/status").await["spans"], 1);
}
