//! Replicas with a long tail.

use std::time::Duration;

use e2e::{backends::Backends, service::Service};
use fanout_proto::{country::v1::ListCountriesResponse, user::v1::User};
use prost::Message as _;

use crate::{
    callers::{Callers, Observed, Rpc, call_many},
    fake::{FakeBackend, FakeReply},
};

const USUAL: Duration = Duration::from_millis(10);

/// One call of so many is slow.
const ONE_IN: usize = 100;

/// One in a hundred calls takes a hundred times as long, and so do two in a hundred requests, which make two calls each.
/// Hedging cuts this tail for a few additional calls.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hedging_cuts_a_long_tail() {
    let (plain, plain_calls) = with_tail("off").await;
    let (hedged, hedged_calls) = with_tail("p97").await;
    plain.report("1 % of the calls take 100 times as long", &["OK"]);
    hedged.report("… with --hedge p97", &["OK"]);
    let (before, after) = (plain.percentile(0.99), hedged.percentile(0.99));
    let more = hedged_calls - 1.0;
    println!("  p99 {before:?} became {after:?}, for {:.1} % more calls", more * 100.0);
    assert!((plain_calls - 1.0).abs() < 1e-9, "no additional calls without hedging");
    assert!(before >= 5 * after, "{before:?} became {after:?}");
    assert!(more <= 0.05, "{:.1} % more calls", more * 100.0);
}

/// More connections to a replica are opened, up to the limit, when the others have no free stream. Calls beyond that wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_calls_than_a_connection_takes_get_more_connections() {
    const STREAMS: u32 = 20;
    let mut walls = Vec::new();
    for (most, opened) in [("1", 1), ("8", 8)] {
        let user = bytes::Bytes::from(
            User { id: "ada".to_owned(), country_code: "GB".to_owned(), ..User::default() }.encode_to_vec(),
        );
        let users = FakeBackend::start(move |_| FakeReply::new(Duration::ZERO, user.clone())).await;
        let slow = |_| FakeReply::new(20 * USUAL, bytes::Bytes::new());
        let countries = FakeBackend::start_with_streams(STREAMS, slow).await;
        let (_others, gateway) = gateway(&users, &countries, &["--connections", most]);
        // More than there are streams: some callers are always between two calls.
        let callers = Callers::start_many(&gateway.url, Rpc::Profile, 240).await;
        let begun = std::time::Instant::now();
        callers.wait_for_calls(1000).await;
        walls.push(begun.elapsed());
        callers
            .stop()
            .await
            .report(&format!("240 callers, 20 calls a connection, {most} connections at most"), &["OK"]);
        assert_eq!(countries.connections(), opened);
    }
    assert!(walls[0] > 3 * walls[1], "eight times the streams: {walls:?}");
}

/// Returns what callers observed, and how many calls reached each backend for each of theirs.
async fn with_tail(hedge: &str) -> (Observed, f64) {
    let user = User { id: "ada".to_owned(), country_code: "GB".to_owned(), ..User::default() }.encode_to_vec();
    let (users, countries) =
        (slow_at_times(user).await, slow_at_times(ListCountriesResponse::default().encode_to_vec()).await);
    let (_others, gateway) = gateway(&users, &countries, &["--hedge", hedge]);
    let observed = call_many(&gateway.url, Rpc::Profile, 6000).await;
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let calls = (users.calls() + countries.calls()) as f64 / (2 * observed.calls()) as f64;
    (observed, calls)
}

async fn slow_at_times(message: Vec<u8>) -> FakeBackend {
    let message = bytes::Bytes::from(message);
    FakeBackend::start(move |number| {
        let after = if number % ONE_IN == ONE_IN - 1 { 100 * USUAL } else { USUAL };
        FakeReply::new(after, message.clone())
    })
    .await
}

/// Starts a gateway in front of these two and one of each other backend.
fn gateway(users: &FakeBackend, countries: &FakeBackend, args: &[&str]) -> (Backends, Service) {
    let others = Backends::start_except(&["user-service", "country-service"]);
    let other_args = others.gateway_args();
    let mut all = vec!["--user-service", &users.url, "--country-service", &countries.url];
    all.extend(other_args.iter().map(String::as_str).chain(args.iter().copied()));
    let gateway = Service::start("gateway", &all, "serving");
    (others, gateway)
}
