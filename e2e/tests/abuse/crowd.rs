//! Honest callers with a steady rate, and how long their calls take.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tonic::Status;

use crate::{
    target::{Client, Target},
    victim::Victim,
};

/// How many callers there are, each with a connection of its own.
const CALLERS: u32 = 6;

/// Honest callers of one service. They do not wait for one call before they make the next: a service that stalls is seen
/// by all calls of that time, and not by one of each caller.
pub(crate) struct Crowd {
    name: &'static str,
    callers: Vec<Client>,
    /// How often each of them calls: ten or twenty times a second.
    period: Duration,
}

/// What the callers have observed.
#[derive(Default)]
pub(crate) struct Observed {
    /// How long each call took that was served, in order.
    times: Vec<Duration>,
    failed: Vec<Status>,
}

/// Counts the calls that have been made.
#[derive(Clone, Default)]
pub(crate) struct Progress(Arc<AtomicUsize>);

// === impl Crowd ===

impl Crowd {
    /// Connects the callers.
    pub(crate) async fn connect(victim: &Victim) -> Self {
        let callers = futures::future::join_all((0..CALLERS).map(|_| victim.client())).await;
        // A call of the gateway is three, and this machine makes all of them.
        let period = Duration::from_millis(if victim.target == Target::Gateway { 100 } else { 50 });
        Self { name: victim.target.name(), callers, period }
    }

    /// Makes calls until `until` ends.
    pub(crate) async fn observe(&self, until: impl Future<Output = ()>, progress: Progress) -> Observed {
        let (begun, mut calls) = (Instant::now(), JoinSet::new());
        let make = async {
            for number in 0_u32.. {
                sleep_until(begun + self.period * number / CALLERS).await;
                let mut caller = self.callers[(number % CALLERS) as usize].clone();
                calls.spawn(async move {
                    let begun = Instant::now();
                    caller.call().await.map(|()| begun.elapsed())
                });
                progress.0.fetch_add(1, Ordering::Relaxed);
            }
        };
        tokio::select! {
            () = until => {}
            () = make => {}
        }
        let mut observed = Observed::default();
        for outcome in calls.join_all().await {
            match outcome {
                Ok(time) => observed.times.push(time),
                Err(status) => observed.failed.push(status),
            }
        }
        observed.times.sort_unstable();
        if let Some(status) = observed.failed.first() {
            println!("{}: {status:?}", self.name);
        }
        observed
    }
}

// === impl Progress ===

impl Progress {
    pub(crate) fn calls(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

// === impl Observed ===

impl Observed {
    pub(crate) fn served(&self) -> usize {
        self.times.len()
    }

    pub(crate) fn made(&self) -> usize {
        self.times.len() + self.failed.len()
    }

    /// Returns the time that this share of the calls took at most, in percent.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        assert!(!self.times.is_empty(), "no call was served");
        self.times[(self.times.len() * percent / 100).min(self.times.len() - 1)]
    }
}
