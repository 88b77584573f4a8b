//! Replicas that die, hang and recover.

use std::time::Duration;

use crate::{
    callers::{CALLERS, Callers, Rpc, call_many},
    fleet::Fleet,
};

const DELAY: [&str; 2] = ["--delay", "2ms"];

/// No call fails: calls in flight are sent to another replica, and the killed one gets calls again after its restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_three_is_killed_and_comes_back() {
    let mut fleet = Fleet::start(3, &DELAY, &[]);
    let callers = Callers::start(&fleet.gateway.url, Rpc::HomeCountry).await;
    for _ in 0..3 {
        callers.wait_for_calls(500).await;
        fleet.countries[0].service.kill();
        callers.wait_for_calls(500).await;
        fleet.countries[0].restart(&DELAY);
        callers.wait_until("the replica is called again", || fleet.countries[0].service.served() >= 50).await;
    }
    callers.stop().await.report("one of three replicas: kill -9, back again, three times", &["OK"]);
    for replica in &fleet.countries {
        assert!(replica.service.served() > 0, "every replica gets calls");
    }
}

/// No call fails, some take longer: the keepalive detects the stopped replica, and its calls are sent to the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_stops_answering_and_wakes_up() {
    let fleet = Fleet::start(2, &DELAY, &["--keepalive", "200ms", "--keepalive-timeout", "300ms"]);
    let callers = Callers::start(&fleet.gateway.url, Rpc::HomeCountry).await;
    callers.wait_for_calls(500).await;
    let stopped = &fleet.countries[0].service;
    let paused = stopped.pause();
    let before = stopped.served();
    callers.wait_for_calls(1000).await;
    drop(paused);
    callers.wait_until("it is called again", || stopped.served() >= before + 100).await;
    let observed = callers.stop().await;
    observed.report("one of two replicas: SIGSTOP, then SIGCONT", &["OK"]);
    let longest = observed.percentile(1.0);
    assert!(longest < Duration::from_secs(5), "half a second to detect it, and one retry: {longest:?}");
}

/// Calls fail at once and name the backend. After the replicas' restart calls succeed; the gateway is not restarted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_are_killed_and_come_back() {
    let mut fleet = Fleet::start(2, &DELAY, &[]);
    call_many(&fleet.gateway.url, Rpc::HomeCountry, 100).await.report("(before)", &["OK"]);
    fleet.countries.iter_mut().for_each(|replica| replica.service.kill());
    let callers = Callers::start(&fleet.gateway.url, Rpc::HomeCountry).await;
    callers.wait_for_calls(1000).await;
    let down = callers.take();
    down.report(
        "all replicas killed: connections are refused",
        &["UNAVAILABLE BACKEND_UNREACHABLE", "UNAVAILABLE BACKEND_CONNECTION_LOST", "UNAVAILABLE BACKEND_CIRCUIT_OPEN"],
    );
    let median = down.percentile(0.5);
    assert!(median < Duration::from_secs(3), "refused at once, not at the deadline after 30 s: {median:?}");
    for replica in &mut fleet.countries {
        replica.restart(&DELAY);
    }
    callers
        .wait_until("both are called again", || fleet.countries.iter().all(|replica| replica.service.served() > 50))
        .await;
    let _ = callers.take();
    callers.wait_for_calls(500).await;
    callers.stop().await.report("… and back again", &["OK"]);
}

/// If all calls fail, no more retries are sent than the budget's floor allows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_is_not_multiplied() {
    const CALLS: usize = 1000;
    for (floor, case) in
        [("0", "all calls fail, no retry floor"), ("6", "all calls fail, a floor of 6 retries a second")]
    {
        let args = ["--retry-floor", floor, "--breaker-failures", "1000000"];
        let mut fleet = Fleet::start(2, &["--delay", "0", "--error-rate", "1"], &args);
        let begun = std::time::Instant::now();
        let callers = Callers::start(&fleet.gateway.url, Rpc::HomeCountry).await;
        callers.wait_for_calls(CALLS).await;
        let observed = callers.stop().await;
        observed.report(case, &["UNAVAILABLE INJECTED_FAULT"]);
        // The floor of ten seconds can be used at once, and again when those ten seconds have passed.
        let floor: usize = floor.parse().unwrap();
        let tens = usize::try_from(begun.elapsed().as_secs() / 8 + 1).unwrap();
        // Concurrent callers may each take the last retry.
        let retries = if floor == 0 { 0 } else { floor * 10 * tens + CALLERS };
        let sent = fleet.countries.iter_mut().map(|replica| replica.service.stop_and_count()).sum();
        println!("  {} calls became {sent} at the backends", observed.calls());
        assert!(
            (observed.calls()..=observed.calls() + retries).contains(&sent),
            "{sent} of {} and {retries}",
            observed.calls()
        );
    }
}
