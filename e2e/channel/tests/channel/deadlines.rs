//! Deadlines, and calls that their callers give up.

use std::time::{Duration, Instant};

use channel_tests::{
    echo::EchoRequest,
    server::{Behaviour, EchoServer},
};
use futures::stream;
use grpc_channel::{Cause, Config};
use tonic::{Code, Request};

use crate::{builder, cause, client, event, hanging, metrics::Metrics, text};

fn within<T>(millis: u64, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(Duration::from_millis(millis));
    request
}

/// `Request::set_timeout` reaches the server as `grpc-timeout`, and ends the call as `DEADLINE_EXCEEDED`, not CANCELLED.
#[tokio::test]
async fn a_unary_call_ends_at_its_deadline() {
    let server = EchoServer::start(Behaviour::default()).await;
    let mut client = client(&[server.url()], Config::default()).await;
    let begun = Instant::now();
    let status = client.get(within(200, hanging())).await.unwrap_err();
    let took = begun.elapsed();
    assert_eq!((status.code(), cause(&status)), (Code::DeadlineExceeded, Cause::Late), "{status:?}");
    assert!(took >= Duration::from_millis(198), "{took:?}");
    let left = server.log().header("grpc-timeout").unwrap();
    let micros: u64 = left.strip_suffix('u').map_or_else(
        || 1_000 * left.strip_suffix('m').expect("micro- or milliseconds").parse::<u64>().unwrap(),
        |micros| micros.parse().unwrap(),
    );
    assert!((1..=200_000).contains(&micros), "{left}");
    event("the server's handler is dropped", server.log().wait_for(|counts| counts.open() == 0)).await;
}

#[tokio::test]
async fn a_stream_ends_at_its_deadline_in_the_middle() {
    let server = EchoServer::start(Behaviour::default()).await;
    let mut client = client(&[server.url()], Config::default()).await;

    let listing = EchoRequest { replies: 2, ..hanging() };
    let mut replies = client.list(within(200, listing)).await.unwrap().into_inner();
    for _ in 0..2 {
        assert!(replies.message().await.unwrap().is_some());
    }
    let listed = replies.message().await.unwrap_err();

    let mut replies = client.chat(within(200, stream::iter([text("a"), hanging()]))).await.unwrap().into_inner();
    assert!(replies.message().await.unwrap().is_some());
    let chatted = replies.message().await.unwrap_err();

    let endless = futures::StreamExt::chain(stream::iter([text("a")]), stream::pending());
    let collected = client.collect(within(200, endless)).await.unwrap_err();

    for status in [listed, chatted, collected] {
        assert_eq!((status.code(), cause(&status)), (Code::DeadlineExceeded, Cause::Late), "{status:?}");
    }
    event("all handlers are dropped", server.log().wait_for(|counts| counts.begun == 3 && counts.open() == 0)).await;
}

#[tokio::test]
async fn a_call_that_is_late_from_the_start_is_not_sent() {
    let server = EchoServer::start(Behaviour::default()).await;
    let mut client = client(&[server.url()], Config::default()).await;
    let status = client.get(within(0, text("a"))).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    client.get(text("b")).await.unwrap();
    assert_eq!(server.log().counts().begun, 1);
}

/// Dropping a call, or the replies of one that streams, resets it at the server.
#[tokio::test]
async fn a_call_that_is_given_up_is_reset() {
    let server = EchoServer::start(Behaviour::default()).await;
    let client = client(&[server.url()], Config::default()).await;
    let log = server.log();
    let open = |number| event("the call begins", log.wait_for(move |counts| counts.begun == number));
    // A stream of requests that is reset just ends for a handler of tonic's, so that it may still end well.
    let reset = || event("the call is reset", log.wait_for(|counts| counts.open() == 0));

    let mut caller = client.clone();
    let unary = tokio::spawn(async move { caller.get(hanging()).await });
    open(1).await;
    unary.abort();
    reset().await;

    let mut caller = client.clone();
    let collecting = tokio::spawn(async move { caller.collect(stream::pending()).await });
    open(2).await;
    collecting.abort();
    reset().await;

    let replies = client.clone().list(hanging()).await.unwrap();
    open(3).await;
    drop(replies);
    reset().await;

    // The caller keeps its own stream of requests open: dropping the replies alone has to be enough.
    let (requests, receiver) = tokio::sync::mpsc::channel(1);
    requests.send(text("a")).await.unwrap();
    let requested = tokio_stream::wrappers::ReceiverStream::new(receiver);
    let mut replies = client.clone().chat(requested).await.unwrap().into_inner();
    assert!(replies.message().await.unwrap().is_some());
    drop(replies);
    reset().await;
    event("the requests are dropped too", requests.closed()).await;
}

/// 10,000 streams that their callers give up leave nothing behind, and close no connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelled_streams_do_not_leak() {
    const WAVES: usize = 100;
    const STREAMS: usize = 100;
    let server = EchoServer::start(Behaviour::default()).await;
    let config = Config { max_in_flight: 2 * STREAMS, max_connections: 1, ..Config::default() };
    let (client, metrics) = Metrics::of(builder(&[server.url()]).config(config)).await;
    let listing = EchoRequest { replies: 1, ..hanging() };
    for wave in 1..=WAVES {
        let mut open = Vec::with_capacity(STREAMS);
        for _ in 0..STREAMS {
            open.push(client.clone().list(listing.clone()).await.unwrap().into_inner());
        }
        let in_flight = metrics.get("fanout_backend_in_flight");
        assert!((in_flight - 100.0).abs() < f64::EPSILON, "a stream keeps its permit: {in_flight}");
        drop(open);
        event("they are reset", server.log().wait_for(|counts| counts.cancelled == wave * STREAMS)).await;
    }
    assert!(metrics.get("fanout_backend_in_flight").abs() < f64::EPSILON, "nothing is in flight");
    assert!((metrics.get("fanout_backend_connections") - 1.0).abs() < f64::EPSILON, "one connection");
    assert_eq!(server.log().open(), 0);
    client.clone().get(text("a")).await.unwrap();
}
