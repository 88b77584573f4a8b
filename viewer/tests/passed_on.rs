//! What becomes of requests besides being shown: handed on, and kept over a restart.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

mod fixture;

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
    trace_service_server::{TraceService, TraceServiceServer},
};
use serde_json::{Value, json};
use tonic::{
    Code, Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};
use tonic_types::{ErrorDetails, StatusExt};
use viewer::Options;

use self::fixture::{Viewer, otlp_json, request, trace_id};

async fn send(viewer: &Viewer, number: u64) {
    let json = otlp_json(&trace_id(number), "shop", &[(1, 0, "checkout", 0, 5)]);
    assert_eq!(viewer.post_traces("application/json", json.as_bytes()).await.status, 200);
}

/// Waits until the status is as wanted, and returns it.
async fn wait_for(viewer: &Viewer, wanted: impl Fn(&Value) -> bool) -> Value {
    let found = async {
        loop {
            let status = viewer.get("/api/status").await;
            if wanted(&status) {
                return status;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), found).await.expect("the status becomes as wanted")
}

#[tokio::test]
async fn everything_is_handed_on_as_it_came() {
    let other = Viewer::start().await;
    let forward = Some(format!("http://{}", other.grpc));
    let viewer = Viewer::with(Options { forward, ..Options::default() }).await;
    send(&viewer, 1).await;
    let metrics = [("content-type", "application/x-protobuf")];
    assert_eq!(request(viewer.http, "POST", "/v1/metrics", &metrics, b"").await.status, 200);
    let received = wait_for(&other, |status| status["traces"] == 1 && status["received"]["metrics"] == 1).await;
    assert_eq!(received["spans"], 1);
    wait_for(&viewer, |status| status["forwarded"] == json!({"requests": 2, "dropped": 0})).await;
    let path = format!("/api/traces/{}/otlp", trace_id(1));
    assert_eq!(viewer.get_reply(&path).await.body, other.get_reply(&path).await.body);
    viewer.stop().await;
}

#[tokio::test]
async fn a_receiver_that_is_not_there_holds_nothing_up() {
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let forward = Some(format!("http://{}", gone.local_addr().unwrap()));
    drop(gone);
    let viewer = Viewer::with(Options { forward, ..Options::default() }).await;
    send(&viewer, 1).await;
    let status = viewer.get("/api/status").await;
    assert_eq!((&status["traces"], &status["forwarded"]), (&json!(1), &json!({"requests": 0, "dropped": 0})));
    let begun = std::time::Instant::now();
    viewer.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(15), "the end does not wait for it: {:?}", begun.elapsed());
}

/// A receiver that has no room, and says when there is some only after the first request.
#[derive(Default)]
struct Full(AtomicU32);

#[tonic::async_trait]
impl TraceService for Full {
    async fn export(
        &self,
        _: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let soon = || ErrorDetails::with_retry_info(Some(Duration::from_millis(1)));
        match self.0.fetch_add(1, Ordering::Relaxed) {
            0 => Err(Status::resource_exhausted("full")),
            1 => Err(Status::with_error_details(Code::ResourceExhausted, "full", soon())),
            _ => Ok(Response::new(ExportTraceServiceResponse::default())),
        }
    }
}

#[tokio::test]
async fn a_receiver_that_is_full_gets_a_request_again_only_if_it_says_when() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let forward = Some(format!("http://{}", listener.local_addr().unwrap()));
    let full = Server::builder().add_service(TraceServiceServer::new(Full::default()));
    tokio::spawn(full.serve_with_incoming(TcpIncoming::from(listener)));
    let viewer = Viewer::with(Options { forward, ..Options::default() }).await;
    send(&viewer, 1).await;
    wait_for(&viewer, |status| status["forwarded"] == json!({"requests": 0, "dropped": 1})).await;
    send(&viewer, 2).await;
    wait_for(&viewer, |status| status["forwarded"] == json!({"requests": 1, "dropped": 1})).await;
    assert_eq!(viewer.get("/api/status").await["traces"], 2, "they are shown all the same");
}

#[tokio::test]
async fn traces_are_there_again_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let options = || Options { data_dir: Some(directory.path().join("deep")), ..Options::default() };
    let viewer = Viewer::with(options()).await;
    for number in 1..=3 {
        send(&viewer, number).await;
    }
    let before = viewer.get("/api/traces").await;
    viewer.stop().await;
    let viewer = Viewer::with(options()).await;
    assert_eq!(viewer.get("/api/traces").await, before);
    send(&viewer, 4).await;
    wait_for(&viewer, |status| status["saved"] == json!({"requests": 1, "dropped": 0})).await;
    viewer.stop().await;
}
