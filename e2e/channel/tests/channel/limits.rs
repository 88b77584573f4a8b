//! Streams are counted, balanced and judged as unary calls are; of many endpoints, some may get all.

use std::{num::NonZeroUsize, time::Duration};

use channel_tests::{
    echo::EchoRequest,
    server::{Behaviour, EchoServer},
};
use grpc_channel::{Cause, Config};
use tonic::{Code, Status};

use crate::{
    Client, builder,
    callers::{CALLERS, Callers, Rpc, until_each_is_called},
    cause, client, event, hanging,
    metrics::Metrics,
    seen, text,
};

async fn list(client: &mut Client) -> Result<(), Status> {
    let mut replies = client.list(text("a")).await?.into_inner();
    while replies.message().await?.is_some() {}
    Ok(())
}

/// A stream keeps its permit until it has ended, not only until its headers have come.
#[tokio::test]
async fn streams_keep_their_permit() {
    let server = EchoServer::start(Behaviour::default()).await;
    let config = Config { max_in_flight: 3, ..Config::default() };
    let mut client = client(&[server.url()], config).await;
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(client.list(hanging()).await.unwrap());
    }
    let status = client.get(text("a")).await.unwrap_err();
    assert_eq!((status.code(), cause(&status), seen(&status)), (Code::ResourceExhausted, Cause::Shed, false));
    open.pop();
    client.get(text("a")).await.unwrap();
    assert_eq!(server.log().counts().begun, 4);
}

/// A stream counts as pending at its endpoint until it has ended: of two endpoints the one with fewer gets the next.
#[tokio::test]
async fn streams_are_balanced_while_they_are_open() {
    const STREAMS: usize = 60;
    let servers = [EchoServer::start(Behaviour::default()).await, EchoServer::start(Behaviour::default()).await];
    let mut client = client(&[servers[0].url(), servers[1].url()], Config::default()).await;
    // Until both are known to the balancer, one gets all calls.
    until_each_is_called(&mut client, Rpc::Get, &servers.each_ref()).await;
    let before = servers.each_ref().map(|server| server.log().counts().begun);
    let mut open = Vec::new();
    for _ in 0..STREAMS {
        open.push(client.list(EchoRequest { replies: 1, ..hanging() }).await.unwrap());
    }
    let balanced = servers.each_ref().map(|server| server.log().open());
    assert_eq!(balanced, [STREAMS / 2; 2], "after {before:?}");
}

/// Of many endpoints, each channel has its own few.
#[tokio::test]
async fn a_subset_of_the_endpoints_gets_all_calls() {
    const SUBSET: usize = 3;
    let mut servers = Vec::new();
    for _ in 0..12 {
        servers.push(EchoServer::start(Behaviour::default()).await);
    }
    let urls: Vec<_> = servers.iter().map(EchoServer::url).collect();
    let config = Config { subset_size: NonZeroUsize::new(SUBSET), ..Config::default() };
    let mut client = client(&urls, config).await;
    let called = || servers.iter().filter(|server| server.log().counts().begun > 0).count();
    let all_are_called = async {
        while called() < SUBSET {
            client.get(text("a")).await.unwrap();
        }
    };
    event("all of the subset are called", all_are_called).await;
    for _ in 0..200 {
        client.get(text("a")).await.unwrap();
    }
    assert_eq!(called(), SUBSET);
}

/// An endpoint whose streams fail with UNAVAILABLE is ejected but for probes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_whose_streams_fail_is_ejected() {
    let failing = EchoServer::start(Behaviour::failing(usize::MAX, Code::Unavailable)).await;
    let (good, other) = (EchoServer::start(Behaviour::default()).await, EchoServer::start(Behaviour::default()).await);
    let (mut client, metrics) = Metrics::of(builder(&[failing.url(), good.url(), other.url()])).await;
    let begun = || failing.log().counts().begun;
    // While there is no other to call, an endpoint is called although it is ejected.
    until_each_is_called(&mut client, Rpc::List, &[&good, &other]).await;
    let at_first = begun();
    let callers = Callers::start(&client, Rpc::List);
    // For a second after a failure the others go first, so that five failures may take five seconds.
    callers.wait_until("it is ejected", || metrics.endpoints("ejected") > 0.0).await;
    let before = begun();
    callers.wait_for_calls(4000).await;
    let observed = callers.stop().await;
    // Those in flight at that moment, and one probe after 1, 2, 4, … seconds.
    let called = begun() - before;
    assert!(begun() >= 5 && called <= CALLERS + 6, "{before} and {called} calls: {observed:?}");
    assert_eq!(observed.failed(), begun() - at_first, "{observed:?}");
}

/// The breaker opens when streams fail in a row, in their trailers too.
#[tokio::test]
async fn failing_streams_open_the_breaker() {
    let server = EchoServer::start(Behaviour::default()).await;
    let config = Config { breaker_failures: 5, breaker_wait: Duration::from_mins(1), ..Config::default() };
    let mut client = client(&[server.url()], config).await;
    let failing = EchoRequest { replies: 1, code: Code::Unavailable as i32, ..text("in trailers") };
    for _ in 0..5 {
        let mut replies = client.list(failing.clone()).await.unwrap().into_inner();
        assert!(replies.message().await.unwrap().is_some());
        assert_eq!(replies.message().await.unwrap_err().message(), "in trailers");
    }
    let status = list(&mut client).await.unwrap_err();
    assert_eq!((status.code(), cause(&status), seen(&status)), (Code::Unavailable, Cause::CircuitOpen, false));
    let status = client.get(text("a")).await.unwrap_err();
    assert_eq!(cause(&status), Cause::CircuitOpen);
    assert_eq!(server.log().counts().begun, 5);
}

/// A caller's mistakes and deadlines open no breaker.
#[tokio::test]
async fn a_callers_mistakes_open_no_breaker() {
    let server = EchoServer::start(Behaviour::default()).await;
    let config = Config { breaker_failures: 3, ..Config::default() };
    let mut client = client(&[server.url()], config).await;
    for _ in 0..10 {
        let bad = EchoRequest { code: Code::InvalidArgument as i32, ..text("bad") };
        assert_eq!(client.create(bad).await.unwrap_err().code(), Code::InvalidArgument);
    }
    list(&mut client).await.unwrap();
}
