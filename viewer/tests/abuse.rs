//! What peers cannot do that send too much, or nothing.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

mod fixture;

use std::{future::poll_fn, io::Write, time::Duration};

use flate2::{Compression, write::GzEncoder};
use http::Request;
use http_body_util::{BodyExt, Full};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, trace_service_client::TraceServiceClient,
};
use serde_json::json;
use tokio::{
    io::AsyncReadExt,
    net::TcpStream,
    time::{Instant, timeout},
};
use tonic::{Code, Status, body::Body, codegen::Service, transport::Endpoint};

use self::fixture::{Viewer, request};

const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// More than a listener has open.
const MANY: usize = 600;

/// Sends a body over gRPC, as it is. Returns the status, and what is accepted in its place.
async fn send(viewer: &Viewer, path: &str, encoding: &str, body: Vec<u8>) -> (Status, Option<String>) {
    let mut channel = Endpoint::from_shared(format!("http://{}", viewer.grpc)).unwrap().connect().await.unwrap();
    poll_fn(|cx| channel.poll_ready(cx)).await.unwrap();
    let request = Request::post(format!("http://{}{path}", viewer.grpc))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-encoding", encoding)
        .body(Body::new(Full::new(body.into())))
        .unwrap();
    let (parts, body) = channel.call(request).await.unwrap().into_parts();
    let accepted = parts.headers.get("grpc-accept-encoding").map(|value| value.to_str().unwrap().to_owned());
    if let Some(status) = Status::from_header_map(&parts.headers) {
        return (status, accepted);
    }
    let collected = body.collect().await.unwrap();
    (Status::from_header_map(collected.trailers().unwrap()).unwrap(), accepted)
}

/// Returns a message with its prefix.
fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
    [&[flag][..], &u32::try_from(message.len()).unwrap().to_be_bytes(), message].concat()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn over_grpc_what_is_wrong_is_said_with_the_code_that_otlp_has_for_it() {
    let viewer = Viewer::start().await;
    let valid = gzip(&[]);
    let bomb = gzip(&vec![0; 100 << 20]);
    let mut short = framed(0, b"abc");
    short.pop();
    let cases = [
        (EXPORT, "identity", framed(0, b"\xff"), Code::InvalidArgument, "the body is not an OTLP request"),
        (EXPORT, "identity", framed(0, &vec![0; (16 << 20) + 1]), Code::ResourceExhausted, "more than"),
        (EXPORT, "gzip", framed(1, &bomb), Code::ResourceExhausted, "16777216 bytes when decompressed"),
        (EXPORT, "gzip", framed(1, b"no gzip"), Code::InvalidArgument, "not valid gzip"),
        (EXPORT, "zstd", framed(1, b"x"), Code::Unimplemented, "encoding 'zstd'"),
        (EXPORT, "identity", short, Code::InvalidArgument, "its length is not that of the prefix"),
        (EXPORT, "identity", vec![0; 3], Code::InvalidArgument, "it ends within the prefix"),
        ("/fanout.Nothing/Export", "identity", framed(0, b""), Code::Unimplemented, "unknown path"),
    ];
    let refused = cases.len();
    for (path, encoding, body, code, message) in cases {
        let (status, accepted) = send(&viewer, path, encoding, body).await;
        assert_eq!(status.code(), code, "{message}: {status}");
        assert!(status.message().contains(message), "{message}: {status}");
        assert_eq!(accepted.is_some(), encoding == "zstd", "{status}");
    }
    let status = viewer.get("/api/status").await;
    assert_eq!((&status["spans"], &status["refused_requests"]), (&json!(0), &json!(refused)), "{status}");
    assert_eq!(send(&viewer, EXPORT, "gzip", framed(1, &valid)).await.0.code(), Code::Ok);
}

#[tokio::test]
async fn silent_connections_keep_nobody_out() {
    let viewer = Viewer::start().await;
    for address in [viewer.grpc, viewer.http, viewer.page] {
        let mut silent = Vec::new();
        for _ in 0..MANY {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let begun = Instant::now();
        if address == viewer.grpc {
            let mut client = TraceServiceClient::connect(format!("http://{address}")).await.unwrap();
            client.export(ExportTraceServiceRequest::default()).await.unwrap();
        } else {
            assert_eq!(request(address, "GET", "/nothing", &[], b"").await.status, 404);
        }
        assert!(begun.elapsed() < Duration::from_secs(4), "before any of them times out: {:?}", begun.elapsed());
        // The oldest has made room.
        let end = timeout(Duration::from_secs(10), silent[0].read(&mut [0])).await.expect("it is closed");
        assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    }
}

#[tokio::test]
async fn over_grpc_a_connection_that_does_not_begin_is_closed() {
    let viewer = Viewer::start().await;
    let begin = async |bytes: &[u8]| {
        let mut stream = TcpStream::connect(viewer.grpc).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, bytes).await.unwrap();
        let begun = Instant::now();
        let mut answer = Vec::new();
        // Fails if the viewer closes it with something unread.
        let _ = timeout(Duration::from_secs(30), stream.read_to_end(&mut answer)).await.expect("it is closed");
        begun.elapsed().as_secs()
    };
    assert_eq!(begin(b"GET / HTTP/1.1\r\n\r\n").await, 0, "another protocol: at once");
    assert!((4..10).contains(&begin(b"PRI * HT").await), "a preface that does not end: after five seconds");
}
