//! Replicas with a long tail.

use std::time::{Duration, Instant};

use e2e::{
    backends::{Backends, NO_REQUEST_LINES},
    service::Service,
};
use fanout_proto::{country::v1::ListCountriesResponse, user::v1::User};
use prost::Message as _;
use tokio::sync::watch;

use crate::{
    callers::{Callers, Observed, Rpc, call_many},
    fake::{FakeBackend, FakeReply},
};

const USUAL: Duration = Duration::from_millis(10);
const SLOW: Duration = Duration::from_secs(1);

/// One call of so many is slow.
const ONE_IN: usize = 100;

/// One in a hundred calls takes a hundred times as long, and so do two in a hundred requests, which make two calls each.
/// Hedging cuts this tail for as few additional calls as its budget allows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hedging_cuts_a_long_tail() {
    let (plain, hedged) = (Run::start("off").await, Run::start("p97").await);
    plain.observed.report("1 % of the calls take 100 times as long", &["OK"]);
    hedged.observed.report("… with --hedge p97", &["OK"]);
    let (before, after) = (plain.slow_replies, hedged.slow_replies);
    println!("  {before} slow replies became {after}, for {} more calls of {}", hedged.hedges(), hedged.calls);
    assert_eq!(plain.hedges(), 0);
    assert_eq!(before, 2 * (plain.calls / 2 / ONE_IN), "one of {ONE_IN} at each of two backends");
    assert!(before >= 5 * after, "{before} slow replies became {after}");
    assert!(hedged.hedges() <= hedged.allowed_hedges(), "{} of {} calls", hedged.hedges(), hedged.calls);
}

/// More connections to a replica are opened, up to the limit, when the others have no free stream. Calls beyond that wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_calls_than_a_connection_takes_get_more_connections() {
    const STREAMS: u32 = 20;
    for connections in [1, 8] {
        let user = bytes::Bytes::from(
            User { id: "ada".to_owned(), country_code: "GB".to_owned(), ..User::default() }.encode_to_vec(),
        );
        let users = FakeBackend::start(move |_| FakeReply::new(Duration::ZERO, user.clone())).await;
        let (release, held) = watch::channel(());
        let reply =
            move |_| FakeReply { held: Some(held.clone()), ..FakeReply::new(Duration::ZERO, bytes::Bytes::new()) };
        let countries = FakeBackend::start_with_streams(STREAMS, reply).await;
        let (_others, gateway) = gateway(&users, &countries, &["--connections", &connections.to_string()]);
        // More than there are streams: the others wait.
        let callers = Callers::start_many(&gateway.url, Rpc::Profile, 240).await;
        let streams = connections * STREAMS as usize;
        countries.wait_for_in_flight(streams).await;
        // Later some may be closed that are not used, and opened again.
        assert_eq!(countries.connections(), connections);
        drop(release);
        callers.wait_for_calls(1000).await;
        let case = format!("240 callers, 20 calls a connection, {connections} connections at most");
        callers.stop().await.report(&case, &["OK"]);
        assert_eq!(countries.most_in_flight(), streams, "{case}");
    }
}

/// Requests to a gateway whose backends are slow at times.
struct Run {
    observed: Observed,
    /// How many calls reached the backends.
    calls: usize,
    /// How many slow replies were waited for.
    slow_replies: usize,
    took: Duration,
}

// === impl Run ===

impl Run {
    async fn start(hedge: &str) -> Self {
        let user = User { id: "ada".to_owned(), country_code: "GB".to_owned(), ..User::default() }.encode_to_vec();
        let (users, countries) =
            (slow_at_times(user).await, slow_at_times(ListCountriesResponse::default().encode_to_vec()).await);
        let (_others, gateway) = gateway(&users, &countries, &["--hedge", hedge]);
        let begun = Instant::now();
        let observed = call_many(&gateway.url, Rpc::Profile, 2000).await;
        let took = begun.elapsed();
        let slow_replies = users.awaited(SLOW) + countries.awaited(SLOW);
        Self { observed, calls: users.calls() + countries.calls(), slow_replies, took }
    }

    /// Returns how many calls were sent a second time.
    fn hedges(&self) -> usize {
        self.calls - 2 * self.observed.calls()
    }

    /// Returns the default budget: 5 % of the calls, and two a second.
    fn allowed_hedges(&self) -> usize {
        let seconds = usize::try_from(self.took.as_secs()).unwrap() + 1;
        2 * self.observed.calls() / 20 + 2 * seconds
    }
}

async fn slow_at_times(message: Vec<u8>) -> FakeBackend {
    let message = bytes::Bytes::from(message);
    FakeBackend::start(move |number| {
        let after = if number % ONE_IN == ONE_IN - 1 { SLOW } else { USUAL };
        FakeReply::new(after, message.clone())
    })
    .await
}

/// Starts a gateway in front of these two and one of each other backend.
fn gateway(users: &FakeBackend, countries: &FakeBackend, args: &[&str]) -> (Backends, Service) {
    let others = Backends::start_except(&["user-service", "country-service"]);
    let other_args = others.gateway_args();
    let mut all = vec!["--user-service", &users.url, "--country-service", &countries.url];
    all.extend(NO_REQUEST_LINES);
    all.extend(other_args.iter().map(String::as_str).chain(args.iter().copied()));
    let gateway = Service::start("gateway", &all, "serving");
    (others, gateway)
}
