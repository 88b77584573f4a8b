//! Attackers that send little, and keep what they take.

use std::{future::pending, time::Duration};

use tokio::time::sleep;

use crate::{
    admin::{CHECK, LIST_SERVICES, REFLECTION},
    attack::Aim,
    frames::{INITIAL_WINDOW_SIZE, PREFACE, call, data, framed, headers, message, stream},
    silence::open,
};

/// 100 KB in a second.
pub(super) async fn headers_without_a_message(aim: &Aim) {
    const BATCH: u32 = 70;
    let mut attacker = aim.connect(&[]).await;
    for batch in 0.. {
        let frames: Vec<_> =
            (0..BATCH).flat_map(|index| headers(stream(BATCH * batch + index), aim.target.path())).collect();
        if !attacker.send(&frames).await {
            break;
        }
        aim.add_sent(BATCH as usize);
        sleep(Duration::from_secs(1) * u32::try_from(frames.len()).unwrap() / 100_000).await;
    }
    aim.note_closed(attacker).await;
}

/// Whose window is empty. A hundred calls in a second: these are served, and a build that is not optimized has to serve them
/// beside the honest ones.
pub(super) async fn replies_never_read(aim: &Aim) {
    const BATCH: u32 = 10;
    let mut attacker = aim.connect(&[(INITIAL_WINDOW_SIZE, 0)]).await;
    for batch in 0.. {
        let calls: Vec<_> = (0..BATCH).flat_map(|index| call(stream(BATCH * batch + index), aim.target)).collect();
        if !attacker.send(&calls).await {
            break;
        }
        aim.add_sent(BATCH as usize);
        sleep(Duration::from_millis(100)).await;
    }
    aim.note_closed(attacker).await;
}

/// Health and reflection, to a caller whose window is empty.
pub(super) async fn admin_never_read(aim: &Aim) {
    const CHECKS: u32 = 800;
    const STREAMS: u32 = 30;
    let mut attacker = aim.connect(&[(INITIAL_WINDOW_SIZE, 0)]).await;
    let check = |stream| [headers(stream, CHECK), message(stream, b"")].concat();
    let checks = (0..CHECKS).flat_map(|index| check(stream(index)));
    let ask = |stream| [headers(stream, REFLECTION), data(stream, &framed(LIST_SERVICES))].concat();
    let asks = (CHECKS..CHECKS + STREAMS).flat_map(|index| ask(stream(index)));
    assert!(attacker.send(&checks.chain(asks).collect::<Vec<_>>()).await);
    aim.add_sent((CHECKS + STREAMS) as usize);
    attacker.reset((CHECKS + STREAMS) as usize).await;
}

/// Requests that begin, and do not end.
pub(super) async fn admin_without_end(aim: &Aim) {
    const CALLS: u32 = 900;
    let mut attacker = aim.connect(&[]).await;
    // The largest message that is allowed, less its end.
    let part = &framed(&[0; 16 << 10])[..4 << 10];
    let call = |stream| [headers(stream, CHECK), data(stream, part)].concat();
    let frames: Vec<_> = (0..CALLS).flat_map(|index| call(stream(index))).collect();
    assert!(attacker.send(&frames).await);
    aim.add_sent(CALLS as usize);
    attacker.ended(CALLS as usize).await;
}

/// A third of them send nothing, another half a preface, and the last a preface and nothing else.
pub(super) async fn silent_connections(aim: &Aim) {
    let mut silent = Vec::new();
    for bytes in [&[], &PREFACE[..12], PREFACE] {
        silent.push(open(&aim.address, 400, bytes).await);
        aim.add_sent(400);
    }
    pending::<()>().await;
}

pub(super) async fn silent_connections_to_metrics(aim: &Aim) {
    let address = aim.metrics.trim_start_matches("http://").trim_end_matches("/metrics");
    let mut silent = open(address, 60, b"").await;
    silent.extend(open(address, 60, b"GET /metrics HTTP/1.1\r\nHost: half").await);
    aim.add_sent(silent.len());
    pending::<()>().await;
}
