//! Replicas that reply with errors or refuse calls.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::{
    callers::{CALLERS, Callers, Observed, Rpc, call_many},
    fake::{FakeBackend, FakeReply},
    fleet::{Fleet, Replica},
};

const DELAY: [&str; 2] = ["--delay", "2ms"];
const FAILING: [&str; 4] = ["--delay", "2ms", "--error-rate", "1"];

/// No call fails: failed calls are retried, and the replica is ejected except for probes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_three_fails_every_call() {
    let mut fleet = Fleet::of(vec![Replica::start(&FAILING), Replica::start(&DELAY), Replica::start(&DELAY)], &[], &[]);
    let observed = call_many(&fleet.gateway.url, Rpc::HomeCountry, 1000).await;
    observed.report("one of three replicas answers UNAVAILABLE to all", &["OK"]);
    let called = fleet.countries[0].service.stop_and_count();
    // Five in a row, those in flight at that moment, and one probe after 1, 2, 4, … seconds.
    assert!(called <= 5 + CALLERS + 6, "{called} calls reached it");
}

/// A backend that fails every call is not called any more: calls fail at once, and a probe from time to time detects that
/// it has recovered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_circuit_breaker_opens_and_closes() {
    let args = ["--retries", "0", "--breaker-failures", "20", "--breaker-wait", "300ms"];
    let mut fleet = Fleet::start(1, &FAILING, &args);
    let callers = Callers::start(&fleet.gateway.url, Rpc::HomeCountry).await;
    let begun = Instant::now();
    callers.wait_for_calls(1000).await;
    callers
        .take()
        .report("a backend fails every call", &["UNAVAILABLE INJECTED_FAULT", "UNAVAILABLE BACKEND_CIRCUIT_OPEN"]);
    let probes = usize::try_from(begun.elapsed().as_millis() / 300 + 1).unwrap();
    let called = fleet.countries[0].service.stop_and_count();
    assert!(called <= 20 + CALLERS + probes, "{called} calls reached it, with {probes} probes");
    fleet.countries[0].restart(&DELAY);
    callers.wait_until("it is called again", || fleet.countries[0].service.served() > 100).await;
    let _ = callers.take();
    callers.wait_for_calls(500).await;
    callers.stop().await.report("… and is well again", &["OK"]);
}

/// A retry waits as long as the backend's pushback asks for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_says_when_to_try_again() {
    const WAIT: Duration = Duration::from_millis(150);
    // The first attempt of each call is refused, the second succeeds.
    let (fake, observed) = refused("150", |number| number.is_multiple_of(2), 1, 20).await;
    observed.report("a backend refuses each call once: \"come back in 150 ms\"", &["OK"]);
    assert_eq!(fake.calls(), 2 * observed.calls());
    assert!(observed.percentile(0.0) >= WAIT, "{:?}", observed.took);
}

/// A negative pushback forbids retries. The backend replies before it has read the request and closes the stream; its
/// status still reaches the caller.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_says_not_to_try_again() {
    let (fake, observed) = refused("-1", |_| true, CALLERS, 1000).await;
    observed.report("a backend refuses all calls: \"do not come back\"", &["UNAVAILABLE BACKEND_FAILED"]);
    assert_eq!(fake.calls(), observed.calls());
}

/// Calls a backend that refuses some attempts with UNAVAILABLE and this `grpc-retry-pushback-ms`.
async fn refused(
    pushback: &'static str,
    is_refused: fn(usize) -> bool,
    callers: usize,
    calls: usize,
) -> (FakeBackend, Observed) {
    let fake = FakeBackend::start(move |number| FakeReply {
        unavailable: is_refused(number).then_some(pushback),
        ..FakeReply::new(Duration::ZERO, Bytes::new())
    })
    .await;
    let fleet = Fleet::of(Vec::new(), &[&fake.url], &["--retry-floor", "1000", "--breaker-failures", "1000000"]);
    let callers = Callers::start_many(&fleet.gateway.url, Rpc::HomeCountry, callers).await;
    callers.wait_for_calls(calls).await;
    let observed = callers.stop().await;
    (fake, observed)
}

/// Calls beyond a backend's limit are refused at once, the others succeed, and health checks do not count.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_a_backend_may_have_is_refused() {
    let fleet = Fleet::start(1, &["--delay", "100ms"], &["--backend-max-in-flight", "10"]);
    let callers = Callers::start_many(&fleet.gateway.url, Rpc::HomeCountry, 50).await;
    callers.wait_for_calls(1000).await;
    service_kit::health::check(&fleet.gateway.url, e2e::TIMEOUT).await.unwrap();
    let observed = callers.stop().await;
    observed.report("50 callers of a backend that may have 10 calls", &["OK", "RESOURCE_EXHAUSTED BACKEND_OVERLOADED"]);
    assert!(observed.ok() > 0 && observed.failed() > observed.ok(), "{:?}", observed.statuses);
}
