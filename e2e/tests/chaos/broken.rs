//! Replicas that answer with something else than an answer.

use std::time::Duration;

use bytes::Bytes;

use crate::{
    callers::{CALLERS, Rpc, call_many},
    fake::{Answer, Fake, breaking, no_http2},
    fleet::{Fleet, Replica},
};

const DELAY: [&str; 2] = ["--delay", "2ms"];

/// Callers see nothing: calls on a connection that breaks are sent again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_reset_in_mid_reply() {
    let replicas = vec![Replica::start(&DELAY), Replica::start(&DELAY)];
    let broken = breaking(replicas[0].url(), 20_000).await;
    let good = replicas[1].url().to_owned();
    let mut fleet = Fleet::of(Vec::new(), &[&broken, &good], &[]);
    fleet.countries = replicas;
    let seen = call_many(&fleet.gateway.url, Rpc::HomeCountry, 3000).await;
    seen.report("one of two replicas: each connection is reset after 20 kB of replies", &["OK"]);
    assert!(fleet.countries[0].service.served() > 300, "it was called all the same");
}

/// Callers see nothing: what speaks no HTTP/2 is never called.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_speaks_no_http2() {
    let garbage = no_http2().await;
    let fleet = Fleet::of(vec![Replica::start(&DELAY)], &[&garbage], &[]);
    call_many(&fleet.gateway.url, Rpc::HomeCountry, 3000).await.report("one of two replicas speaks no HTTP/2", &["OK"]);
}

/// Garbage in place of a message is INTERNAL, and names the backend.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_is_no_message() {
    let fake = Fake::start(|_| garbage()).await;
    let fleet = Fleet::of(Vec::new(), &[&fake.url], &["--breaker-failures", "1000000"]);
    let seen = call_many(&fleet.gateway.url, Rpc::HomeCountry, 2000).await;
    seen.report("the only replica answers with garbage", &["INTERNAL BACKEND_MALFORMED_REPLY"]);
}

/// With others beside it, one that answers with garbage is left out after a few calls.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_three_answers_with_garbage() {
    let fake = Fake::start(|_| garbage()).await;
    let fleet = Fleet::of(vec![Replica::start(&DELAY), Replica::start(&DELAY)], &[&fake.url], &[]);
    let seen = call_many(&fleet.gateway.url, Rpc::HomeCountry, 4000).await;
    seen.report("one of three replicas answers with garbage", &["OK", "INTERNAL BACKEND_MALFORMED_REPLY"]);
    // Five in a row, those that were under way then, and one probe after 1, 2, 4, … seconds.
    assert!(seen.failed() <= 5 + CALLERS + 6, "{:?}", seen.statuses);
    assert_eq!(fake.calls(), seen.failed(), "each call that it got failed");
}

fn garbage() -> Answer {
    Answer::new(Duration::from_millis(1), Bytes::from_static(b"\xff\xff\xff\xff\xff\xff"))
}
