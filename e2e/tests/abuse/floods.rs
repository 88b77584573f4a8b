//! Attackers that send much.

use std::time::Duration;

use crate::{
    attacker::{ENHANCE_YOUR_CALM, flood},
    frames::{LIST_COUNTRIES, empty_message, headers, reset, window_update},
    honest::Honest,
    victim::Victim,
};

/// How many calls a flood has.
const CALLS: u32 = 20_000;

/// How long a call may take beside a flood, which this machine also has to send: the delay is 20 ms.
const PATIENCE: Duration = Duration::from_secs(5);

/// Floods a service with calls of these bytes, beside an honest caller. Returns how often the attacker was cut off.
async fn flood_beside_honest_calls(attack: &str, call: impl Fn(u32) -> Vec<u8>) -> usize {
    let victim = Victim::start("20ms").await;
    let honest = Honest::start(victim.url()).await;
    let codes = flood(victim.address(), CALLS, call).await;
    let slowest = honest.finish().await;
    println!("{attack}: cut off {} times, slowest honest call {slowest:?}", codes.len());
    assert!(slowest < PATIENCE, "{slowest:?}");
    // The last frame is lost if the attacker sends on.
    assert!(codes.iter().flatten().all(|code| *code == ENHANCE_YOUR_CALM), "{codes:?}");
    victim.assert_held(attack, !codes.is_empty());
    codes.len()
}

/// CVE-2023-44487. The attacker is cut off only if it is faster than the service: honest callers look the same, see
/// `bursts`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rapid_reset() {
    let call = |stream| [headers(stream, LIST_COUNTRIES), empty_message(stream), reset(stream)].concat();
    flood_beside_honest_calls("rapid reset", call).await;
}

/// CVE-2025-8671: the server is made to reset streams itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn made_you_reset() {
    let call = |stream| [headers(stream, LIST_COUNTRIES), window_update(stream, (1 << 31) - 1)].concat();
    let cut_off = flood_beside_honest_calls("MadeYouReset", call).await;
    assert!(cut_off > 0, "the attacker was never cut off");
}
