//! A caller with one call after the other, and what it observes.

use std::time::{Duration, Instant};

use e2e::TIMEOUT;
use tokio::{sync::watch, task::JoinHandle};

use crate::victim::Victim;

/// How many calls an attack goes beside at least.
const ENOUGH: usize = 20;

/// How long a call may take beside an attack that keeps the processor busy: this machine has to make it too, and others
/// may share it. Time that passes while the service does not run says nothing, so this bound is a generous one; a service
/// that starves its honest callers exceeds any.
const PATIENCE: Duration = Duration::from_secs(20);

/// A caller that calls until it is stopped. None of its calls may fail.
pub(crate) struct Honest {
    stop: watch::Sender<bool>,
    served: watch::Receiver<usize>,
    calls: JoinHandle<Vec<Duration>>,
}

// === impl Honest ===

impl Honest {
    /// Starts to call, and waits until the first call is served.
    ///
    /// # Panics
    ///
    /// Panics, with [`finish`](Self::finish), if any call fails.
    pub(crate) async fn start(victim: &Victim) -> Self {
        let (target, mut client) = (victim.target, victim.client().await);
        let ((stop, stopped), (count, mut served)) = (watch::channel(false), watch::channel(0));
        let calls = tokio::spawn(async move {
            let mut times = Vec::new();
            while !*stopped.borrow() {
                let begun = Instant::now();
                client.call().await.unwrap_or_else(|status| panic!("{target:?}: {status:?}"));
                times.push(begun.elapsed());
                count.send_modify(|served| *served += 1);
            }
            times
        });
        served.wait_for(|served| *served >= 1).await.expect("the first call is served");
        Self { stop, served, calls }
    }

    /// Waits for some more calls, and stops.
    ///
    /// # Panics
    ///
    /// Panics if a call has failed, or was far too slow.
    pub(crate) async fn finish(mut self) {
        let goal = *self.served.borrow() + ENOUGH;
        let enough = tokio::time::timeout(2 * TIMEOUT, self.served.wait_for(|served| *served >= goal)).await.is_ok();
        let _ = self.stop.send(true);
        if !enough {
            self.calls.abort();
            panic!("{} of {goal} calls are served", *self.served.borrow());
        }
        let mut times = self.calls.await.unwrap();
        times.sort_unstable();
        let (median, slowest) = (times[times.len() / 2], times[times.len() - 1]);
        println!("{} honest calls are served, the median one in {median:?}, the slowest in {slowest:?}", times.len());
        assert!(slowest < PATIENCE, "{slowest:?}");
    }
}
