//! Makes the calls, and kills a replica while they run.

use std::time::{Duration, Instant};

use futures::{StreamExt as _, stream};
use tonic::{Response, Status};

use crate::{helloworld::SayHelloResponse, replica::Replica};

/// How many calls there are, and how many of them at once.
const CALLS: usize = 1_000;
const AT_ONCE: usize = 20;

/// After how many calls the first replica is killed.
const KILLED_AFTER: usize = 300;

/// How calls ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    pub(crate) failed: usize,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

/// Makes the calls. A failed call counts as one that took 2 s, so that failing fast does not look fast.
pub(crate) async fn run<F>(replicas: [Replica; 3], call: impl Fn() -> F) -> Figures
where
    F: Future<Output = Result<Response<SayHelloResponse>, Status>>,
{
    let [killed, _slow, _other] = replicas;
    let mut killed = Some(killed);
    let timed = |_| {
        let (begun, call) = (Instant::now(), call());
        async move { call.await.is_ok().then(|| begun.elapsed()) }
    };
    let mut calls = stream::iter(0..CALLS).map(timed).buffer_unordered(AT_ONCE);
    let (mut failed, mut took) = (0, Vec::with_capacity(CALLS));
    while let Some(time) = calls.next().await {
        failed += usize::from(time.is_none());
        took.push(time.unwrap_or(Duration::from_secs(2)));
        if took.len() == KILLED_AFTER {
            killed = None;
        }
    }
    drop(killed);
    took.sort_unstable();
    Figures { failed, p50: took[CALLS / 2], p99: took[CALLS * 99 / 100] }
}
