//! Attacks on health and reflection, which no limit on requests bounds.

use std::time::Duration;

use service_kit::health;

use crate::{
    attacker::{Attacker, ENHANCE_YOUR_CALM, flood},
    frames::{INITIAL_WINDOW_SIZE, data, framed, headers, message, stream},
    honest::Honest,
    target::{Target, against_all, against_each},
    victim::{Victim, Warned},
};

pub(crate) const CHECK: &str = "/grpc.health.v1.Health/Check";
pub(crate) const WATCH: &str = "/grpc.health.v1.Health/Watch";
pub(crate) const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

/// A request for the list of services.
pub(crate) const LIST_SERVICES: &[u8] = b"\x3a\x00";

/// How long a probe waits.
const PROBE: Duration = Duration::from_secs(20);

async fn start(target: Target) -> Victim {
    Victim::start_with(target, "0", &["--reflection"]).await
}

/// Asks for the health of a service as a probe does.
async fn probe(victim: &Victim) {
    health::check(victim.url(), PROBE).await.unwrap_or_else(|error| panic!("{:?}: {error}", victim.target));
}

/// Many more streams than there may be, on connections that are closed for it.
async fn streams_without_end(target: Target) {
    let victim = start(target).await;
    let honest = Honest::start(&victim).await;
    for path in [REFLECTION, WATCH] {
        let (codes, _) = flood(victim.address(), 5_000, |stream| headers(stream, path)).await;
        assert!(codes.iter().flatten().all(|code| *code == ENHANCE_YOUR_CALM), "{codes:?}");
        probe(&victim).await;
    }
    honest.finish().await;
    // Streams above the limit are rejected, and connections with too many of them closed.
    victim.assert_held("streams without end", Warned::Throttled(2));
}

/// Requests that begin, and do not end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_without_end() {
    const CALLS: u32 = 900;
    against_all(async |target| {
        let victim = start(target).await;
        let honest = Honest::start(&victim).await;
        let mut attacker = Attacker::connect(victim.address(), &[]).await;
        // The largest message that is allowed, less its end.
        let part = &framed(&[0; 16 << 10])[..4 << 10];
        let call = |stream| [headers(stream, CHECK), data(stream, part)].concat();
        let frames: Vec<_> = (0..CALLS).flat_map(|index| call(stream(index))).collect();
        assert!(attacker.send(&frames).await);
        probe(&victim).await;
        attacker.ended(CALLS as usize).await;
        honest.finish().await;
        victim.assert_held("bodies without end", Warned::Never);
    })
    .await;
}

/// Replies to a caller whose window is empty.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replies_that_are_never_read() {
    const CHECKS: u32 = 800;
    const STREAMS: u32 = 30;
    against_all(async |target| {
        let victim = start(target).await;
        let honest = Honest::start(&victim).await;
        let mut attacker = Attacker::connect(victim.address(), &[(INITIAL_WINDOW_SIZE, 0)]).await;
        let check = |stream| [headers(stream, CHECK), message(stream, b"")].concat();
        let checks = (0..CHECKS).flat_map(|index| check(stream(index)));
        let ask = |stream| [headers(stream, REFLECTION), data(stream, &framed(LIST_SERVICES))].concat();
        let asks = (CHECKS..CHECKS + STREAMS).flat_map(|index| ask(stream(index)));
        assert!(attacker.send(&checks.chain(asks).collect::<Vec<_>>()).await);
        probe(&victim).await;
        attacker.reset((CHECKS + STREAMS) as usize).await;
        honest.finish().await;
        victim.assert_held("health and reflection that are never read", Warned::Never);
    })
    .await;
}

against_each!(streams_without_end);
