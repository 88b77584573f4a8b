//! Rate limits count by identity, and by address where there is none.

use std::{
    cell::Cell,
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use fanout_proto::gateway::v1::GetProfileRequest;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::edge::{Edge, Files, outcome};

/// How many requests a caller has at once. It takes as many seconds until it has them again: longer than a test.
pub(crate) const BURST: usize = 60;

/// The flags of such a limit.
pub(crate) const RATE_FLAGS: [&str; 4] = ["--rate-limit", "1/s", "--rate-limit-burst", "60"];

/// Makes two bursts of requests, and asserts that one of them is served, and what the others are told.
pub(crate) async fn assert_limited(kind: &str, call: impl AsyncFn() -> Status) {
    let (mut served, mut waits, begun) = (0, Vec::new(), Instant::now());
    for _ in 0..2 * BURST {
        let status = call().await;
        if status.code() != Code::ResourceExhausted {
            assert_eq!(outcome(&status), Ok(()));
            served += 1;
            continue;
        }
        assert_eq!(status.message(), format!("too many requests of this {kind}: 1 a second are allowed"));
        assert_eq!(status.get_details_error_info().unwrap().reason, "RATE_LIMIT_EXCEEDED");
        waits.push(status.get_details_retry_info().unwrap().retry_delay.unwrap());
    }
    let refilled = usize::try_from(begun.elapsed().as_secs()).unwrap() + 1;
    assert!((BURST..=BURST + refilled).contains(&served), "{served}");
    assert!(waits.iter().all(|wait| !wait.is_zero() && *wait <= Duration::from_secs(1)), "{waits:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_key_has_a_rate_of_its_own_and_strangers_share_their_address() {
    let files = Files::new();
    let [reports, web] = ["reports", "web"].map(|name| format!("Bearer {}", files.new_key(name, "keys")));
    let policy = files.write("policy", "* *\nanonymous *\n");
    let keys = files.path("keys").to_str().unwrap().to_owned();
    let flags = [&["--api-keys", &keys, "--policy", &policy][..], &RATE_FLAGS].concat();
    let edge = Edge::start(&flags).await;
    // Both come by one connection.
    assert_limited("identity", async || edge.call(&[("authorization", &reports)]).await).await;
    for _ in 0..BURST {
        assert_eq!(outcome(&edge.call(&[("authorization", &web)]).await), Ok(()));
    }

    // Requests without credentials count by address, over all of its connections.
    let [one, other, elsewhere] = [1, 1, 2].map(|host| edge.stranger(Ipv4Addr::new(127, 0, 0, host).into()));
    let (one, other, elsewhere) = (one.await, other.await, elsewhere.await);
    let turn = Cell::new(0);
    let by_turns = async || {
        turn.set(turn.get() + 1);
        let mut client = if turn.get() % 2 == 0 { one.clone() } else { other.clone() };
        client.get_profile(GetProfileRequest::default()).await.unwrap_err()
    };
    assert_limited("address", by_turns).await;
    for _ in 0..BURST {
        let status = elsewhere.clone().get_profile(GetProfileRequest::default()).await.unwrap_err();
        assert_eq!(outcome(&status), Ok(()), "of another address");
    }
}
