//! Something else than a gateway at the address: named at once, with exit code 69 and what to do. And a gateway that
//! never replies.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

mod fake_gateway;
mod other_server;

use fake_gateway::{Behaviour, FakeGateway, fanout};
use other_server::OtherServer;

/// Asserts that the commands that need a gateway end with exit code 69 and this line.
async fn assert_no_gateway(address: &str, reason: &str) {
    for command in ["compare", "load"] {
        let ended = fanout("", &[command, "--gateway", address]).await;
        let expected = format!(
            "fanout: no gateway at {address} ({reason}): start one with `{} up`, or name another with --gateway\n",
            env!("CARGO_BIN_EXE_fanout")
        );
        assert_eq!((ended.code, ended.stderr, ended.stdout), (Some(69), expected, String::new()), "{command}");
    }
}

#[tokio::test]
async fn a_closed_port_is_named() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    assert_no_gateway(&address, "connection refused").await;
}

#[tokio::test]
async fn a_backend_in_place_of_the_gateway_is_named() {
    let service = OtherServer::start("country-service");
    let reason = "what answers there is a gRPC server without fanout.gateway.v1.GatewayService";
    assert_no_gateway(&service.grpc, reason).await;
}

#[tokio::test]
async fn a_web_server_is_named() {
    let service = OtherServer::start("country-service");
    assert_no_gateway(&service.metrics, "what answers there does not speak gRPC").await;
}

#[tokio::test]
async fn a_server_that_says_nothing_is_named() {
    // The operating system accepts connections for it.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", silent.local_addr().unwrap());
    assert_no_gateway(&address, "what listens there has not answered within 5 s").await;
}

#[tokio::test]
async fn a_gateway_that_never_replies_is_deadline_exceeded() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    // Of h2 alone: a server of tonic would reply when the deadline passes.
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(stream).await.unwrap();
        let mut held = Vec::new();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            if request.uri().path() == "/grpc.health.v1.Health/Check" {
                let unimplemented = http::Response::builder()
                    .header("content-type", "application/grpc")
                    .header("grpc-status", "12")
                    .body(())
                    .unwrap();
                respond.send_response(unimplemented, true).unwrap();
            } else {
                held.push(respond);
            }
        }
    });
    let ended = fanout(&url, &["compare", "--timeout", "100ms"]).await;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stdout.contains("✗ DEADLINE_EXCEEDED: no reply within --timeout"), "{}", ended.stdout);
    server.await.unwrap();
}

#[tokio::test]
async fn a_port_alone_is_one_of_this_machine() {
    let gateway = FakeGateway::start(Behaviour::default()).await;
    let port = gateway.url.rsplit(':').next().unwrap();
    let ended = fanout("", &["compare", "--gateway", port]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.starts_with(&format!("GetProfile of ada at http://127.0.0.1:{port}\n")), "{}", ended.stdout);
}
