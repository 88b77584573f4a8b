//! Honest callers that look like attackers. None of their calls may fail by the service's guards.

use std::{collections::HashMap, hash::Hash, time::Duration};

use e2e::TIMEOUT;
use fanout_proto::country::v1::{GetCountryRequest, country_service_client::CountryServiceClient};
use futures::{StreamExt as _, stream};
use rpc_layers::source;
use tonic::{
    Code, Request, Status, TimeoutExpired,
    transport::{Channel, Endpoint},
};

use crate::{
    target::Target,
    victim::{Victim, Warned},
};

/// Connects to the service with one connection, as any user of tonic does who cancels calls.
async fn channel(victim: &Victim) -> Channel {
    let endpoint = Endpoint::from_shared(victim.url().to_owned()).unwrap();
    let endpoint = endpoint.http2_max_local_error_reset_streams(Some(usize::MAX));
    endpoint.connect_timeout(TIMEOUT).connect().await.unwrap()
}

/// Makes a call with this deadline. Returns its status, and its message if it is one that no test expects.
async fn call(channel: Channel, deadline: Option<Duration>) -> (Code, String) {
    let mut request = Request::new(GetCountryRequest { code: "GB".to_owned() });
    if let Some(deadline) = deadline {
        request.set_timeout(deadline);
    }
    match CountryServiceClient::new(channel).get_country(request).await {
        Ok(_) => (Code::Ok, String::new()),
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_at_once() {
    let victim = Victim::start(Target::CountryService, "20ms").await;
    let channel = channel(&victim).await;
    let counts = count(10_000, 10_000, async || call(channel.clone(), None).await).await;
    assert_eq!(counts, HashMap::from([((Code::Ok, String::new()), 10_000)]));
    victim.assert_held("10,000 calls at once", Warned::Never);
}

/// The service replies before it has read the message, which arrives when it has forgotten the call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_at_once_above_the_limit() {
    let victim = Victim::start_with(Target::CountryService, "20ms", &["--max-in-flight", "10"]).await;
    let channel = channel(&victim).await;
    let counts = count(10_000, 10_000, async || call(channel.clone(), None).await).await;
    let rejected = |status: &str| status.contains("too many requests in flight: the limit is 10");
    assert!(counts.keys().all(|(code, status)| *code == Code::Ok || rejected(status)), "{counts:?}");
    // The limit's own.
    victim.assert_held("10,000 calls at once above the limit", Warned::Throttled(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_thousand_short_deadlines() {
    let victim = Victim::start(Target::CountryService, "500ms").await;
    let channel = channel(&victim).await;
    let deadline = Some(Duration::from_millis(50));
    let counts = count(4_000, 4_000, async || call(channel.clone(), deadline).await).await;
    assert_eq!(counts, HashMap::from([((Code::DeadlineExceeded, String::new()), 4_000)]));
    victim.assert_held("4,000 short deadlines", Warned::Never);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_thousand_cancellations() {
    let victim = Victim::start(Target::CountryService, "500ms").await;
    let channel = channel(&victim).await;
    let cancelled = async || {
        let call = tokio::time::timeout(Duration::from_millis(5), call(channel.clone(), None));
        call.await.ok()
    };
    let counts = count(50_000, 500, cancelled).await;
    assert_eq!(counts, HashMap::from([(None, 50_000)]), "the others have a status");
    victim.assert_held("50,000 cancellations", Warned::Never);
}
