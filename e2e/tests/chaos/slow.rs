//! Replicas with a long tail.

use std::time::Duration;

use e2e::{backends::Backends, service::Service};
use fanout_proto::{country::v1::ListCountriesResponse, user::v1::User};
use prost::Message as _;

use crate::{
    callers::{Callers, Rpc, Seen, call_many},
    fake::{Answer, Fake},
};

const USUAL: Duration = Duration::from_millis(10);

/// How many calls there are for each that takes a hundred times as long.
const ONE_IN: usize = 100;

/// One in a hundred calls takes a hundred times as long: so do two in a hundred requests, which make two calls each.
/// Hedging cuts the tail, for a few calls more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hedging_cuts_a_long_tail() {
    let (plain, plain_calls) = with_tail("off").await;
    let (hedged, hedged_calls) = with_tail("p97").await;
    plain.report("1 % of the calls take 100 times as long", &["OK"]);
    hedged.report("… with --hedge p97", &["OK"]);
    let (before, after) = (plain.percentile(0.99), hedged.percentile(0.99));
    let more = hedged_calls - 1.0;
    println!("  p99 {before:?} became {after:?}, for {:.1} % more calls", more * 100.0);
    assert!((plain_calls - 1.0).abs() < 1e-9, "without hedging each call is one");
    assert!(before >= 5 * after, "{before:?} became {after:?}");
    assert!(more <= 0.05, "{:.1} % more calls", more * 100.0);
}

/// Where a replica takes no more calls on a connection, more connections are opened, up to the bound; calls beyond that wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_calls_than_a_connection_takes_get_more_connections() {
    const ON_EACH: u32 = 20;
    let mut walls = Vec::new();
    for (most, opened) in [("1", 1), ("8", 8)] {
        let user = bytes::Bytes::from(User { id: "ada".to_owned(), ..User::default() }.encode_to_vec());
        let users = Fake::start(move |_| Answer::new(Duration::ZERO, user.clone())).await;
        let slow = |_| Answer::new(20 * USUAL, bytes::Bytes::new());
        let countries = Fake::start_taking(ON_EACH, slow).await;
        let (_others, gateway) = gateway(&users, &countries, &["--connections", most]);
        // More than all places: some callers are always between two calls.
        let callers = Callers::start_so_many(&gateway.url, Rpc::Profile, 240).await;
        let begun = std::time::Instant::now();
        callers.make(1000).await;
        walls.push(begun.elapsed());
        callers
            .stop()
            .await
            .report(&format!("240 callers, 20 calls a connection, {most} connections at most"), &["OK"]);
        assert_eq!(countries.connections(), opened);
    }
    assert!(walls[0] > 3 * walls[1], "eight times the places: {walls:?}");
}

/// What callers saw, and how many calls reached each backend for each of theirs.
async fn with_tail(hedge: &str) -> (Seen, f64) {
    let user = User { id: "ada".to_owned(), ..User::default() }.encode_to_vec();
    let (users, countries) =
        (slow_at_times(user).await, slow_at_times(ListCountriesResponse::default().encode_to_vec()).await);
    let (_others, gateway) = gateway(&users, &countries, &["--hedge", hedge]);
    let seen = call_many(&gateway.url, Rpc::Profile, 6000).await;
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let calls = (users.calls() + countries.calls()) as f64 / (2 * seen.calls()) as f64;
    (seen, calls)
}

async fn slow_at_times(message: Vec<u8>) -> Fake {
    let message = bytes::Bytes::from(message);
    Fake::start(move |number| {
        let after = if number % ONE_IN == ONE_IN - 1 { 100 * USUAL } else { USUAL };
        Answer::new(after, message.clone())
    })
    .await
}

/// Starts a gateway in front of these two and one of each other backend.
fn gateway(users: &Fake, countries: &Fake, args: &[&str]) -> (Backends, Service) {
    let others = Backends::start_except(&["user-service", "country-service"]);
    let other_args = others.gateway_args();
    let mut all = vec!["--user-service", &users.url, "--country-service", &countries.url];
    all.extend(other_args.iter().map(String::as_str).chain(args.iter().copied()));
    let gateway = Service::start("gateway", &all, "serving");
    (others, gateway)
}
