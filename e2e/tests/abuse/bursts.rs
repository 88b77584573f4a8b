//! Honest callers that look like attackers. None of their calls may fail by the service's guards.

use std::{collections::HashMap, hash::Hash, time::Duration};

use e2e::TIMEOUT;
use futures::{StreamExt as _, stream};
use rpc_layers::source;
use tonic::{Code, Status, TimeoutExpired, transport::Endpoint};

use crate::{
    exclusive::shared,
    target::{Client, Target, against_each},
    victim::{Victim, Warned},
};

/// Connects to the service with one connection, as any user of tonic does who cancels calls.
async fn client(victim: &Victim) -> Client {
    let endpoint = Endpoint::from_shared(victim.url().to_owned()).unwrap();
    let endpoint = endpoint.http2_max_local_error_reset_streams(Some(usize::MAX));
    victim.target.client_of(endpoint.connect_timeout(TIMEOUT).connect().await.unwrap())
}

/// Makes a call with this deadline. Returns its status, and its message if it is one that no test expects.
async fn call(mut client: Client, deadline: Option<Duration>) -> (Code, String) {
    match client.call_within(deadline).await {
        Ok(()) => (Code::Ok, String::new()),
        Err(status) if is_late(&status) => (Code::DeadlineExceeded, String::new()),
        Err(status) => (status.code(), format!("{status:?}")),
    }
}

/// Returns whether a call ended by its deadline. tonic's own timer answers CANCELLED, if it is first.
fn is_late(status: &Status) -> bool {
    status.code() == Code::DeadlineExceeded || source::find::<TimeoutExpired>(status).is_some()
}

/// Counts the outcomes of calls, so many of which are made at a time.
async fn count<T: Eq + Hash>(calls: usize, at_once: usize, outcome: impl AsyncFn() -> T) -> HashMap<T, usize> {
    let mut outcomes = stream::iter(0..calls).map(|_| outcome()).buffer_unordered(at_once);
    let mut counts = HashMap::new();
    while let Some(outcome) = outcomes.next().await {
        *counts.entry(outcome).or_default() += 1;
    }
    counts
}

async fn ten_thousand_at_once(target: Target) {
    let victim = Victim::start(target, "20ms").await;
    let client = client(&victim).await;
    let calls = target.burst(10_000);
    let counts = count(calls, calls, async || call(client.clone(), None).await).await;
    assert_eq!(counts, HashMap::from([((Code::Ok, String::new()), calls)]));
    victim.assert_held("10,000 calls at once", Warned::Never);
}

/// The service replies before it has read the message, which arrives when it has forgotten the call.
async fn ten_thousand_at_once_above_the_limit(target: Target) {
    let victim = Victim::start_with(target, "20ms", &["--max-in-flight", "10"]).await;
    let client = client(&victim).await;
    let calls = target.burst(10_000);
    let counts = count(calls, calls, async || call(client.clone(), None).await).await;
    let rejected = |status: &str| status.contains("too many requests in flight: the limit is 10");
    assert!(counts.keys().all(|(code, status)| *code == Code::Ok || rejected(status)), "{counts:?}");
    // The limit's own.
    victim.assert_held("10,000 calls at once above the limit", Warned::Throttled(1));
}

async fn four_thousand_short_deadlines(target: Target) {
    let victim = Victim::start(target, "500ms").await;
    let client = client(&victim).await;
    let deadline = Some(Duration::from_millis(50));
    let calls = target.burst(4_000);
    let counts = count(calls, calls, async || call(client.clone(), deadline).await).await;
    assert_eq!(counts, HashMap::from([((Code::DeadlineExceeded, String::new()), calls)]));
    victim.assert_held("4,000 short deadlines", Warned::Never);
}

async fn fifty_thousand_cancellations(target: Target) {
    let victim = Victim::start(target, "500ms").await;
    let client = client(&victim).await;
    let cancelled = async || {
        let call = tokio::time::timeout(Duration::from_millis(5), call(client.clone(), None));
        call.await.ok()
    };
    let calls = target.burst(50_000);
    let counts = count(calls, 500, cancelled).await;
    assert_eq!(counts, HashMap::from([(None, calls)]), "the others have a status");
    victim.assert_held("50,000 cancellations", Warned::Never);
}

against_each!(ten_thousand_at_once_above_the_limit, four_thousand_short_deadlines, fifty_thousand_cancellations);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_at_once_of_the_country_service() {
    let _shared = shared().await;
    ten_thousand_at_once(Target::CountryService).await;
}

#[ignore = "run by `.ci/run attacks`, with an optimized build and nothing beside it"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_at_once_of_the_others() {
    let _shared = shared().await;
    ten_thousand_at_once(Target::Gateway).await;
    ten_thousand_at_once(Target::UserService).await;
}
