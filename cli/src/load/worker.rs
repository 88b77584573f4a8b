//! A task that drives many requests at once.
//!
//! There are as many as processors, each with a tally of its own: counting takes no lock, and
//! ten thousand callers need no ten thousand histograms.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use futures::{StreamExt as _, stream::FuturesUnordered};
use tokio::sync::{mpsc, watch};

use crate::load::{
    caller::{Caller, Sample},
    tally::{Progress, Tally},
    workload::Limit,
};

/// What a worker works with.
#[derive(Debug)]
pub struct Worker {
    /// Makes the requests.
    pub caller: Arc<Caller>,
    /// Which worker it is: workers spread over the connections by it.
    pub index: usize,
    /// Turns true where all shall end.
    pub stopped: watch::Receiver<bool>,
    /// What is shown while it runs.
    pub progress: Arc<Progress>,
}

/// How many requests may still be sent in a closed loop: all workers take from it.
#[derive(Debug)]
pub struct Quota {
    /// How many were allowed.
    pub issued: AtomicU64,
    /// When it is enough.
    pub limit: Limit,
    /// When it began.
    pub began: Instant,
}

// === impl Worker ===

impl Worker {
    /// Closed loop: each of the callers has one request at a time.
    pub async fn closed(mut self, callers: usize, quota: Arc<Quota>) -> Tally {
        let mut tally = Tally::new();
        let mut in_flight = FuturesUnordered::new();
        for slot in 0..callers {
            if quota.take() {
                in_flight.push(self.caller.call(self.index + slot, Instant::now()));
            }
        }
        loop {
            let sample = tokio::select! {
                // Replies first: the look at `stopped` takes a lock, and is left to moments without one.
                biased;
                sample = in_flight.next() => sample,
                true = is_stopped(&mut self.stopped) => break,
            };
            let Some(sample) = sample else { break };
            self.count(&mut tally, &sample);
            if quota.take() {
                in_flight.push(self.caller.call(sample.slot, Instant::now()));
            }
        }
        tally.abandon(in_flight.len());
        tally
    }

    /// Open loop: each request when it is due, or as soon as fewer than `max_in_flight` are under way.
    pub async fn open(mut self, max_in_flight: usize, mut due: mpsc::UnboundedReceiver<Instant>) -> Tally {
        let mut tally = Tally::new();
        let mut in_flight = FuturesUnordered::new();
        let mut slot = self.index;
        let mut more = true;
        while more || !in_flight.is_empty() {
            tokio::select! {
                biased;
                Some(sample) = in_flight.next() => self.count(&mut tally, &sample),
                next = due.recv(), if more && in_flight.len() < max_in_flight => match next {
                    Some(due) => {
                        in_flight.push(self.caller.call(slot, due));
                        slot = slot.wrapping_add(1);
                    }
                    None => more = false,
                },
                true = is_stopped(&mut self.stopped) => break,
            }
        }
        // What is due and was not sent is abandoned like what was.
        due.close();
        tally.abandon(in_flight.len() + due.len());
        tally
    }

    fn count(&self, tally: &mut Tally, sample: &Sample) {
        tally.record(sample);
        self.progress.count(sample.outcome.is_ok());
    }
}

/// Waits for the end to be asked for; false where nobody can ask any more.
async fn is_stopped(stopped: &mut watch::Receiver<bool>) -> bool {
    stopped.wait_for(|stopped| *stopped).await.is_ok()
}

// === impl Quota ===

impl Quota {
    /// Whether one more may be sent.
    fn take(&self) -> bool {
        match self.limit {
            // Overshoots by the number of callers at the most: far from wrapping around.
            Limit::Requests(requests) => self.issued.fetch_add(1, Ordering::Relaxed) < requests,
            Limit::Duration(duration) => self.began.elapsed() < duration,
        }
    }
}
