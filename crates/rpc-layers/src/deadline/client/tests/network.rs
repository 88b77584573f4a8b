//! Tests against tonic's own channel and server, whose timers answer CANCELLED.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::future::join_all;
use tokio::{net::TcpListener, time::Instant};
use tonic::{
    Code,
    transport::{Endpoint, Server, server::TcpIncoming},
};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_client::HealthClient,
    health_server::{Health, HealthServer},
};

use super::super::*;
use crate::deadline::Deadline;

/// A health service whose check takes the milliseconds in its request, and whose other calls never end.
struct Slow;

#[tonic::async_trait]
impl Health for Slow {
    async fn check(
        &self,
        request: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<HealthCheckResponse>, Status> {
        let millis = request.get_ref().service.parse().expect("a number");
        tokio::time::sleep(Duration::from_millis(millis)).await;
        Ok(tonic::Response::new(HealthCheckResponse::default()))
    }

    type WatchStream = futures::stream::Pending<Result<HealthCheckResponse, Status>>;

    async fn watch(&self, _: tonic::Request<HealthCheckRequest>) -> Result<tonic::Response<Self::WatchStream>, Status> {
        Ok(tonic::Response::new(futures::stream::pending()))
    }
}

/// Makes calls with 1 to 5 ms to live to a handler that never ends, through tonic's own client, whose timer would
/// answer CANCELLED. The server has no deadline layer, so that its timer answers CANCELLED too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tonic_client_never_sees_cancelled() -> Result<(), BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    // h2 closes a connection with more than 20 streams that were reset before they were accepted, which a burst of
    // expired calls does.
    let server = Server::builder().http2_max_pending_accept_reset_streams(Some(10_000));
    tokio::spawn(server.serve_with_incoming(HealthServer::new(Slow), TcpIncoming::from(listener)));
    let channel = Endpoint::try_from(format!("http://{address}"))?.connect_lazy();
    let client = HealthClient::new(ClientDeadlineLayer::new().layer(channel));
    client.clone().check(HealthCheckRequest { service: "0".into() }).await?;

    let counts = Arc::new(Mutex::new(std::collections::BTreeMap::new()));
    for round in 0..40 {
        let calls = (0..50).map(|number: u64| {
            let (mut client, counts) = (client.clone(), Arc::clone(&counts));
            async move {
                let mut request = tonic::Request::new(HealthCheckRequest { service: "60000".into() });
                let micros = 1_000 + (round * 50 + number) * 37 % 4_001;
                request.extensions_mut().insert(Deadline::after(Duration::from_micros(micros)));
                let status = if number.is_multiple_of(5) {
                    match client.watch(request).await {
                        Ok(stream) => stream.into_inner().message().await.expect_err("it never ends"),
                        Err(status) => status,
                    }
                } else {
                    client.check(request).await.expect_err("it never answers")
                };
                *counts.lock().unwrap().entry(status.code() as i32).or_insert(0) += 1;
            }
        });
        join_all(calls).await;
    }
    assert_eq!(*counts.lock().unwrap(), [(Code::DeadlineExceeded as i32, 2_000)].into());
    Ok(())
}

#[tokio::test]
async fn connecting_counts() -> Result<(), BoxError> {
    // Accepts and never answers, so that the HTTP/2 handshake hangs.
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let channel = Endpoint::try_from(format!("http://{}", listener.local_addr()?))?.connect_lazy();
    let mut client = HealthClient::new(ClientDeadlineLayer::new().layer(channel));
    let mut request = tonic::Request::new(HealthCheckRequest::default());
    request.extensions_mut().insert(Deadline::after(Duration::from_millis(50)));
    let start = Instant::now();
    let status = client.check(request).await.expect_err("nobody answers");
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    Ok(())
}
