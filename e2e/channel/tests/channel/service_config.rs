//! gRPC's service config, seen from the server.

use std::time::{Duration, Instant};

use channel_tests::server::{Behaviour, EchoServer};
use grpc_channel::{Cause, Config, ServiceConfig};
use tokio::net::TcpListener;
use tonic::Code;

use crate::{Client, builder, cause, configured, event, hanging, seen, text};

/// An entry for the method, or for the whole service if it is empty.
fn entry(method: &str, settings: &str) -> String {
    let name = if method.is_empty() { String::new() } else { format!(r#", "method": "{method}""#) };
    format!(r#"{{"methodConfig": [{{"name": [{{"service": "echo.v1.EchoService"{name}}}], {settings}}}]}}"#)
}

const RETRY: &str = r#""retryPolicy": {"maxAttempts": 4, "initialBackoff": "0.01s", "maxBackoff": "0.05s",
    "backoffMultiplier": 2, "retryableStatusCodes": ["UNAVAILABLE", "ABORTED"]}"#;

#[tokio::test]
async fn a_timeout_is_sent_and_enforced() {
    let server = EchoServer::start(Behaviour::default()).await;
    let config = entry("Get", r#""timeout": "0.2s""#);
    let mut client = configured(&[server.url()], Config::default(), &config).await;
    let begun = Instant::now();
    let status = client.get(hanging()).await.unwrap_err();
    assert_eq!((status.code(), cause(&status)), (Code::DeadlineExceeded, Cause::Late));
    assert!(begun.elapsed() >= Duration::from_millis(198), "{:?}", begun.elapsed());
    assert!(server.log().header("grpc-timeout").is_some());
    event("it is reset", server.log().wait_for(|counts| counts.open() == 0)).await;
    client.create(text("a")).await.unwrap();
    assert_eq!(server.log().header("grpc-timeout"), None, "another method has none");
}

#[tokio::test]
async fn calls_wait_for_a_server_that_is_not_there_yet() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let url = format!("http://{port}");
    let config = ServiceConfig::from_json(&entry("Create", r#""waitForReady": true"#)).unwrap();
    let mut client = Client::new(builder(&[url]).service_config(config).connect());
    // A call that does not wait shows that the server has been found out of reach.
    let status = event("it is refused", client.get(text("a"))).await.unwrap_err();
    assert_eq!((cause(&status), seen(&status)), (Cause::Unreachable, false));

    let mut waiting = client.clone();
    let waiting = tokio::spawn(async move { waiting.create(text("patient")).await });
    let status = event("it is refused", client.get(text("a"))).await.unwrap_err();
    assert_eq!(cause(&status), Cause::Unreachable);
    assert!(!waiting.is_finished());

    let server = EchoServer::start_on(TcpListener::bind(port).await.unwrap(), Behaviour::default());
    let reply = event("the call that waits is made", waiting).await.unwrap().unwrap();
    assert_eq!((reply.into_inner().text.as_str(), server.log().counts().begun), ("patient", 1));
}

/// Naming the codes says that the method may be sent again.
#[tokio::test]
async fn a_retry_policy_sends_again_what_it_names() {
    let server = EchoServer::start(Behaviour::failing(3, Code::Aborted)).await;
    let mut client = configured(&[server.url()], Config::default(), &entry("Create", RETRY)).await;
    assert_eq!(client.create(text("a")).await.unwrap().into_inner().text, "a");
    assert_eq!(server.log().counts().begun, 4);

    let server = EchoServer::start(Behaviour::failing(4, Code::Aborted)).await;
    let mut client = configured(&[server.url()], Config::default(), &entry("Create", RETRY)).await;
    assert_eq!(client.create(text("a")).await.unwrap_err().code(), Code::Aborted, "after 4 attempts");
    assert_eq!(server.log().counts().begun, 4);
}

/// A unary call on a channel without descriptors is retried by a policy too.
#[tokio::test]
async fn a_retry_policy_needs_no_descriptors() {
    let server = EchoServer::start(Behaviour::failing(1, Code::Unavailable)).await;
    let config = ServiceConfig::from_json(&entry("", RETRY)).unwrap();
    let channel = grpc_channel::Channel::builder("echo", [server.url()]).unwrap().service_config(config).connect();
    assert_eq!(Client::new(channel).get(text("a")).await.unwrap().into_inner().text, "a");
    assert_eq!(server.log().counts().begun, 2);
}

/// The first two attempts hang; the third one replies, and the losers are reset.
#[tokio::test]
async fn a_hedging_policy_sends_late_calls_again() {
    let server = EchoServer::start(Behaviour { hanging: 2, ..Behaviour::default() }).await;
    let hedging = r#""hedgingPolicy": {"maxAttempts": 3, "hedgingDelay": "0.02s"}"#;
    let mut client = configured(&[server.url()], Config::default(), &entry("Create", hedging)).await;
    let begun = Instant::now();
    assert_eq!(event("a hedge replies", client.create(text("a"))).await.unwrap().into_inner().text, "a");
    assert!(begun.elapsed() >= Duration::from_millis(38), "{:?}", begun.elapsed());
    let counts = event("the losers are reset", server.log().wait_for(|counts| counts.cancelled == 2)).await;
    assert_eq!((counts.begun, counts.ended), (3, 1));
}

/// gRPC's token bucket: with 10 tokens, retries stop when 5 are left, and failures use up one each.
#[tokio::test]
async fn throttling_bounds_the_retries_of_an_outage() {
    const CALLS: usize = 50;
    let server = EchoServer::start(Behaviour::failing(usize::MAX, Code::Unavailable)).await;
    let config = Config { breaker_failures: 1_000_000, ..Config::default() };
    let document = format!(
        r#"{{"methodConfig": [{{"name": [{{"service": "echo.v1.EchoService"}}], {RETRY}}}],
            "retryThrottling": {{"maxTokens": 10, "tokenRatio": 0.1}}}}"#
    );
    let mut client = configured(&[server.url()], config, &document).await;
    for _ in 0..CALLS {
        assert_eq!(client.create(text("a")).await.unwrap_err().code(), Code::Unavailable);
    }
    let sent = server.log().counts().begun;
    // The first call's four attempts leave six tokens, and the second call's first one half of them.
    assert_eq!(sent, CALLS + 3, "the first call alone is retried");
}
