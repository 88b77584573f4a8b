//! Replicas that answer, but with errors, or too late for all.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::{
    callers::{CALLERS, Callers, Rpc, Seen, call_many},
    fake::{Answer, Fake},
    fleet::{Fleet, Replica},
};

const DELAY: [&str; 2] = ["--delay", "2ms"];
const FAILING: [&str; 4] = ["--delay", "2ms", "--error-rate", "1"];

/// Callers see nothing: failed calls are sent again, and the replica is left out but for probes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_three_fails_every_call() {
    let mut fleet = Fleet::of(vec![Replica::start(&FAILING), Replica::start(&DELAY), Replica::start(&DELAY)], &[], &[]);
    let seen = call_many(&fleet.gateway.url, Rpc::HomeCountry, 4000).await;
    seen.report("one of three replicas answers UNAVAILABLE to all", &["OK"]);
    let called = fleet.countries[0].service.stop_and_count();
    // Five in a row, those that were under way then, and one probe after 1, 2, 4, … seconds.
    assert!(called <= 5 + CALLERS + 6, "{called} calls reached it");
}

/// A backend that fails every call is left alone: callers are told so, at once, and one call a while finds out when it is well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_circuit_breaker_opens_and_closes() {
    let args = ["--retries", "0", "--breaker-failures", "20", "--breaker-wait", "300ms"];
    let mut fleet = Fleet::start(1, &FAILING, &args);
    let callers = Callers::start(&fleet.gateway.url, Rpc::HomeCountry).await;
    let begun = Instant::now();
    callers.make(3000).await;
    callers
        .take()
        .report("a backend fails every call", &["UNAVAILABLE INJECTED_FAULT", "UNAVAILABLE BACKEND_CIRCUIT_OPEN"]);
    let probes = usize::try_from(begun.elapsed().as_millis() / 300 + 1).unwrap();
    let called = fleet.countries[0].service.stop_and_count();
    assert!(called <= 20 + CALLERS + probes, "{called} calls reached it, with {probes} probes");
    fleet.countries[0].restart(&DELAY);
    callers.until("it is called again", || fleet.countries[0].service.served() > 100).await;
    let _ = callers.take();
    callers.make(500).await;
    callers.stop().await.report("… and is well again", &["OK"]);
}

/// A backend that says when to come back is asked again then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_says_when_to_try_again() {
    const WAIT: Duration = Duration::from_millis(150);
    // The first try of each call is refused, the second is answered.
    let (fake, seen) = refused("150", |number| number.is_multiple_of(2), 1, 20).await;
    seen.report("a backend refuses each call once: \"come back in 150 ms\"", &["OK"]);
    assert_eq!(fake.calls(), 2 * seen.calls());
    assert!(seen.percentile(0.0) >= WAIT, "{:?}", seen.took);
}

/// A backend that asks to be left alone is not asked again. It answers before it has read what was asked, and hangs up:
/// the answer is heard all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_says_not_to_try_again() {
    let (fake, seen) = refused("-1", |_| true, CALLERS, 4000).await;
    seen.report("a backend refuses all calls: \"do not come back\"", &["UNAVAILABLE BACKEND_FAILED"]);
    assert_eq!(fake.calls(), seen.calls());
}

/// Calls a backend that is UNAVAILABLE to some tries, with this for `grpc-retry-pushback-ms`.
async fn refused(pushback: &'static str, is_refused: fn(usize) -> bool, callers: usize, calls: usize) -> (Fake, Seen) {
    let fake = Fake::start(move |number| Answer {
        unavailable: is_refused(number).then_some(pushback),
        ..Answer::new(Duration::ZERO, Bytes::new())
    })
    .await;
    let fleet = Fleet::of(Vec::new(), &[&fake.url], &["--retry-floor", "1000", "--breaker-failures", "1000000"]);
    let callers = Callers::start_so_many(&fleet.gateway.url, Rpc::HomeCountry, callers).await;
    callers.make(calls).await;
    let seen = callers.stop().await;
    (fake, seen)
}

/// More than a backend may have at once is refused at once; the others are answered, and health is no request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_a_backend_may_have_is_refused() {
    let fleet = Fleet::start(1, &["--delay", "100ms"], &["--backend-max-in-flight", "10"]);
    let callers = Callers::start_so_many(&fleet.gateway.url, Rpc::HomeCountry, 50).await;
    callers.make(3000).await;
    service_kit::health::check(&fleet.gateway.url, e2e::PATIENCE).await.unwrap();
    let seen = callers.stop().await;
    seen.report("50 callers of a backend that may have 10 calls", &["OK", "RESOURCE_EXHAUSTED BACKEND_OVERLOADED"]);
    assert!(seen.ok() > 0 && seen.failed() > seen.ok(), "{:?}", seen.statuses);
}
