//! Attackers that send much.

use crate::{
    attacker::{Attacker, ENHANCE_YOUR_CALM, flood},
    frames::{
        INITIAL_WINDOW_SIZE, call, headers, headers_with, message, priority, reset, settings, stream, window_update,
    },
    honest::Honest,
    target::{Target, against_each},
    victim::{Victim, Warned},
};

/// How many calls a flood has.
const CALLS: u32 = 5_000;

/// Floods a service with calls of these bytes, beside an honest caller.
async fn flood_beside_honest_calls(attack: &str, target: Target, is_cut_off: bool, call: impl Fn(u32) -> Vec<u8>) {
    let victim = Victim::start(target, "20ms").await;
    let honest = Honest::start(&victim).await;
    let (mut codes, last) = flood(victim.address(), CALLS, call).await;
    if let Some(mut last) = last.filter(|_| is_cut_off) {
        // What the system has buffered is more than one connection may send.
        codes.push(last.closed().await);
    }
    honest.finish().await;
    println!("{attack}: cut off {} times", codes.len());
    // The last frame is lost if the attacker sends on.
    assert!(codes.iter().flatten().all(|code| *code == ENHANCE_YOUR_CALM), "{codes:?}");
    victim.assert_held(attack, if is_cut_off { Warned::Throttled(1) } else { Warned::Maybe(1) });
}

/// CVE-2023-44487. The attacker is cut off only if it is faster than the service: honest callers look the same, see
/// `bursts`.
async fn rapid_reset(target: Target) {
    let call = |stream| [call(stream, target), reset(stream)].concat();
    flood_beside_honest_calls("rapid reset", target, false, call).await;
}

/// CVE-2025-8671: the server is made to reset streams itself, by a window that becomes too large.
async fn made_you_reset_by_window(target: Target) {
    let call = |stream| [headers(stream, target.path()), window_update(stream, (1 << 31) - 1)].concat();
    flood_beside_honest_calls("MadeYouReset by WINDOW_UPDATE", target, true, call).await;
}

/// The same, by a stream that depends on itself.
async fn made_you_reset_by_priority(target: Target) {
    let call = |stream| [headers(stream, target.path()), priority(stream, stream)].concat();
    flood_beside_honest_calls("MadeYouReset by PRIORITY", target, true, call).await;
}

/// Each frame of 15 bytes changes the windows of all streams of the connection.
async fn settings_that_toggle_windows(target: Target) {
    let victim = Victim::start(target, "20ms").await;
    let honest = Honest::start(&victim).await;
    let mut attacker = Attacker::connect(victim.address(), &[(INITIAL_WINDOW_SIZE, 0)]).await;
    let open: Vec<_> = (0..CALLS).flat_map(|call| headers(stream(call), target.path())).collect();
    let toggle = [settings(&[(INITIAL_WINDOW_SIZE, 1)]), settings(&[(INITIAL_WINDOW_SIZE, 0)])].concat();
    // Whether it is cut off is not of interest: its streams are limited.
    let _ = attacker.send(&open).await && attacker.send(&toggle.repeat(1_000)).await;
    honest.finish().await;
    victim.assert_held("SETTINGS that toggle windows", Warned::Maybe(1));
}

/// The gateway adds its own headers to those that it passes on, which then exceed a backend's limit.
async fn large_baggage(target: Target) {
    const FLOOD: u32 = 1_000;
    let victim = Victim::start(target, "0").await;
    let honest = Honest::start(&victim).await;
    for bytes in [8_000, 8_300, 15_500] {
        let baggage = format!("tenant={}", "7".repeat(bytes));
        let mut attacker = Attacker::connect(victim.address(), &[]).await;
        // Fewer at once than there may be streams.
        for batch in 0..FLOOD / 100 {
            let calls = (0..100).map(|call| stream(100 * batch + call)).flat_map(|stream| {
                let headers = headers_with(stream, target.path(), &[("baggage", &baggage)]);
                [headers, message(stream, target.message())].concat()
            });
            assert!(attacker.send(&calls.collect::<Vec<_>>()).await, "{bytes} bytes");
            attacker.ended(100 * (batch as usize + 1)).await;
        }
    }
    honest.finish().await;
    victim.assert_held("large baggage", Warned::Never);
}

/// Faults that a caller asks for are its own.
async fn injected_faults(target: Target) {
    let victim = Victim::start(target, "0").await;
    let honest = Honest::start(&victim).await;
    let call = |stream| {
        let headers = headers_with(stream, target.path(), &[("baggage", "*.error-rate=1")]);
        [headers, message(stream, target.message())].concat()
    };
    let mut attacker = Attacker::connect(victim.address(), &[]).await;
    for batch in 0..20 {
        let calls: Vec<_> = (0..100).flat_map(|index| call(stream(100 * batch + index))).collect();
        assert!(attacker.send(&calls).await);
        attacker.ended(100 * (batch as usize + 1)).await;
    }
    honest.finish().await;
    victim.assert_held("injected faults", Warned::Never);
}

against_each!(
    rapid_reset,
    made_you_reset_by_window,
    made_you_reset_by_priority,
    settings_that_toggle_windows,
    large_baggage,
    injected_faults,
);
