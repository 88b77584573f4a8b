//! What callers make of their calls neither opens a breaker nor ejects an endpoint.

use std::{iter::repeat_n, time::Duration};

use channel_tests::server::{Behaviour, EchoServer};
use grpc_channel::Config;
use tonic::{Code, Request};

use crate::{
    Client,
    callers::{Rpc, call_many},
    client, event, hanging, text,
};

/// A breaker that opens at once, and stays so for longer than a test takes.
fn strict() -> Config {
    Config { breaker_failures: 5, breaker_wait: Duration::from_mins(1), retries: 0, ..Config::default() }
}

/// Makes many calls with headers that are too long for the server.
async fn send_long_headers(mut client: Client, calls: usize) {
    for _ in 0..calls {
        let mut request = Request::new(text("a"));
        let long: String = repeat_n('a', 17_000).collect();
        request.metadata_mut().insert("x-long", long.parse().unwrap());
        let status = client.get(request).await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
        assert!(status.message().starts_with("the headers of the request are too long"), "{status:?}");
        assert!(status.message().contains("431"), "{status:?}");
    }
}

/// Makes many calls whose deadline is too short for the server.
async fn hurry(mut client: Client, calls: usize) {
    for _ in 0..calls {
        let mut request = Request::new(hanging());
        request.set_timeout(Duration::from_millis(2));
        assert_eq!(client.get(request).await.unwrap_err().code(), Code::DeadlineExceeded);
    }
}

/// With no success in between, they open no breaker, and no endpoint is ejected: the next calls reach both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_servers_refuse_for_their_headers_count_against_no_endpoint() {
    let servers = [EchoServer::start(Behaviour::default()).await, EchoServer::start(Behaviour::default()).await];
    let client = client(&[servers[0].url(), servers[1].url()], strict()).await;
    event("their calls end", send_long_headers(client.clone(), 50)).await;
    let counts = || servers.each_ref().map(|server| server.log().counts().begun);
    let before = counts();
    let observed = call_many(&client, Rpc::Get, 500).await;
    assert_eq!(observed.failed(), 0, "{observed:?}");
    let called = counts();
    assert!(called[0] > before[0] && called[1] > before[1], "{before:?}, then {called:?}");
}

/// Whether an endpoint is ejected shows in no call: for a second after a late one the balancer prefers the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn short_deadlines_open_no_breaker() {
    let server = EchoServer::start(Behaviour::default()).await;
    let client = client(&[server.url()], strict()).await;
    event("their calls end", hurry(client.clone(), 50)).await;
    let observed = call_many(&client, Rpc::Get, 500).await;
    assert_eq!(observed.failed(), 0, "{observed:?}");
}
