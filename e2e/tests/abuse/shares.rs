//! Attackers that take as much as they can of what all callers share.

use fanout_proto::gateway::v1::StreamUsersRequest;
use prost::Message as _;

use crate::{
    attacker::Attacker,
    exclusive::shared,
    frames::{INITIAL_WINDOW_SIZE, call, headers, message, stream},
    honest::Honest,
    target::{Target, against_each},
    victim::{Victim, Warned},
};

/// How many requests may be in flight.
const PERMITS: u32 = 500;

async fn start(target: Target) -> Victim {
    Victim::start_with(target, "0", &["--deadline", "2s", "--max-in-flight", "500"]).await
}

/// An attacker whose window is empty makes a new call for each that has ended.
async fn replies_never_read_and_topped_up(target: Target) {
    let victim = start(target).await;
    let honest = Honest::start(&victim).await;
    let mut attacker = Attacker::connect(victim.address(), &[(INITIAL_WINDOW_SIZE, 0)]).await;
    for round in 0..3 {
        let calls = (round * PERMITS..(round + 1) * PERMITS).flat_map(|index| call(stream(index), target));
        assert!(attacker.send(&calls.collect::<Vec<_>>()).await);
        attacker.ended(((round + 1) * PERMITS) as usize).await;
    }
    honest.finish().await;
    victim.assert_held("replies that are never read, topped up", Warned::Maybe(2));
}

/// Calls without a message take no permit.
async fn headers_that_hold_permits(target: Target) {
    let victim = start(target).await;
    let mut attacker = Attacker::connect(victim.address(), &[]).await;
    let calls: Vec<_> = (0..1_000).flat_map(|index| headers(stream(index), target.path())).collect();
    assert!(attacker.send(&calls).await);
    Honest::start(&victim).await.finish().await;
    attacker.ended(1_000).await;
    victim.assert_held("headers that hold permits", Warned::Maybe(2));
}

/// Streams of many users, whose backend calls the reader does not wait for. The gateway's limit is one that fits its
/// backends: the default is far more than a database answers at once.
async fn streams_of_users(attack: &str, window: u32, streams: u32) {
    const STREAM_USERS: &str = "/fanout.gateway.v1.GatewayService/StreamUsers";
    let victim = Victim::start_with(Target::Gateway, "0", &["--deadline", "5s", "--max-in-flight", "500"]).await;
    let honest = Honest::start(&victim).await;
    let mut attacker = Attacker::connect(victim.address(), &[(INITIAL_WINDOW_SIZE, window)]).await;
    let user_ids = vec!["ada".to_owned(); 1_000];
    let request = StreamUsersRequest { user_ids, max_in_flight: 256, ..StreamUsersRequest::default() }.encode_to_vec();
    for index in 0..streams {
        let call = [headers(stream(index), STREAM_USERS), message(stream(index), &request)].concat();
        assert!(attacker.send(&call).await);
    }
    attacker.ended(streams as usize).await;
    honest.finish().await;
    victim.assert_held(attack, Warned::Maybe(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_of_users_that_are_never_read() {
    let _shared = shared().await;
    streams_of_users("streams of users that are never read", 0, 66).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_of_users_as_an_amplifier() {
    let _shared = shared().await;
    streams_of_users("streams of users as an amplifier", 1 << 30, 36).await;
}

against_each!(replies_never_read_and_topped_up, headers_that_hold_permits);
