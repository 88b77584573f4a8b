//! Replicas that break connections or the protocol.

use std::time::Duration;

use bytes::Bytes;

use crate::{
    callers::{CALLERS, Callers, Rpc, call_many},
    fake::{FakeBackend, FakeReply, not_http2, resetting_proxy},
    fleet::{Fleet, Replica},
};

const DELAY: [&str; 2] = ["--delay", "2ms"];

/// No call fails: calls on a connection that is reset are sent again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_reset_in_mid_reply() {
    let replicas = vec![Replica::start(&DELAY), Replica::start(&DELAY)];
    let broken = resetting_proxy(replicas[0].url(), 20_000).await;
    let good = replicas[1].url().to_owned();
    let mut fleet = Fleet::of(Vec::new(), &[&broken, &good], &[]);
    fleet.countries = replicas;
    let observed = call_many(&fleet.gateway.url, Rpc::HomeCountry, 1000).await;
    observed.report("one of two replicas: each connection is reset after 20 kB of replies", &["OK"]);
    assert!(fleet.countries[0].service.served() > 100, "it still gets calls");
}

/// No call fails, and none waits for long: an endpoint whose connections end soon after they have begun is connected to again
/// without a back-off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_live_for_a_moment() {
    let fleet = Fleet::start(1, &["--delay", "2ms", "--max-connection-age", "300ms"], &[]);
    let callers = Callers::start(&fleet.gateway.url, Rpc::HomeCountry).await;
    let country = fleet.countries[0].service.address();
    let is_connected = |line: &serde_json::Value| line["message"] == "replica is ready" && line["replica"] == country;
    fleet.gateway.log.wait_for_number(20, "new connections", is_connected).await;
    let observed = callers.stop().await;
    observed.report("the only replica closes each connection after 300 ms", &["OK"]);
    let [usual, slow] = [0.5, 0.9].map(|share| observed.percentile(share));
    println!("  half of them took {usual:?}, one of ten {slow:?}");
    assert!(slow < 10 * usual, "calls wait for a back-off");
}

/// No call fails: a server that does not speak HTTP/2 is never called.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_speaks_not_http2() {
    let garbage = not_http2().await;
    let fleet = Fleet::of(vec![Replica::start(&DELAY)], &[&garbage], &[]);
    call_many(&fleet.gateway.url, Rpc::HomeCountry, 1000).await.report("one of two replicas speaks no HTTP/2", &["OK"]);
}

/// A reply that is not a message fails the call with INTERNAL and names the backend.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_is_no_message() {
    let fake = FakeBackend::start(|_| garbage()).await;
    let fleet = Fleet::of(Vec::new(), &[&fake.url], &["--breaker-failures", "1000000"]);
    let observed = call_many(&fleet.gateway.url, Rpc::HomeCountry, 1000).await;
    observed.report("the only replica answers with garbage", &["INTERNAL BACKEND_MALFORMED_REPLY"]);
}

/// A replica that replies with garbage is ejected after a few calls if there are others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_three_answers_with_garbage() {
    let fake = FakeBackend::start(|_| garbage()).await;
    let fleet = Fleet::of(vec![Replica::start(&DELAY), Replica::start(&DELAY)], &[&fake.url], &[]);
    let observed = call_many(&fleet.gateway.url, Rpc::HomeCountry, 1000).await;
    observed.report("one of three replicas answers with garbage", &["OK", "INTERNAL BACKEND_MALFORMED_REPLY"]);
    // Five in a row, those in flight at that moment, and one probe after 1, 2, 4, … seconds.
    assert!(observed.failed() <= 5 + CALLERS + 6, "{:?}", observed.statuses);
    assert_eq!(fake.calls(), observed.failed(), "every call that it received failed");
}

fn garbage() -> FakeReply {
    FakeReply::new(Duration::from_millis(1), Bytes::from_static(b"\xff\xff\xff\xff\xff\xff"))
}
