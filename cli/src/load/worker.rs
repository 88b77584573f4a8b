//! A task that runs many requests concurrently.
//!
//! There is a worker for each processor, each with its own tally: counting takes no lock, and ten thousand callers share
//! a few histograms.

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

/// A worker.
#[derive(Debug)]
pub struct Worker {
    /// Makes the requests.
    pub caller: Arc<Caller>,
    /// The worker's number, by which workers spread over the connections.
    pub index: usize,
    /// Becomes true when the test shall end early.
    pub stopped: watch::Receiver<bool>,
    /// The progress that is shown.
    pub progress: Arc<Progress>,
}

/// The requests that may be sent in a closed loop, shared by all workers.
#[derive(Debug)]
pub struct Quota {
    /// How many were taken.
    pub issued: AtomicU64,
    /// When to stop.
    pub limit: Limit,
    /// When the test began.
    pub began: Instant,
}

// === impl Worker ===

impl Worker {
    /// Runs a closed loop: each of the callers has one request at a time.
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
                // Replies first: checking `stopped` takes a lock, so it is checked only when there are none.
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

    /// Runs an open loop: sends each request when it is due, or later when fewer than `max_in_flight` are in flight.
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
        // Requests that are due and not sent are abandoned too.
        due.close();
        tally.abandon(in_flight.len() + due.len());
        tally
    }

    fn count(&self, tally: &mut Tally, sample: &Sample) {
        tally.record(sample);
        self.progress.count(sample.result.is_ok());
    }
}

/// Waits until the test shall end early. Returns false if that cannot happen any more.
async fn is_stopped(stopped: &mut watch::Receiver<bool>) -> bool {
    stopped.wait_for(|stopped| *stopped).await.is_ok()
}

// === impl Quota ===

impl Quota {
    /// Takes one request, and returns whether it may be sent.
    fn take(&self) -> bool {
        match self.limit {
            // Overshoots by the number of callers at most, which is far from overflow.
            Limit::Requests(requests) => self.issued.fetch_add(1, Ordering::Relaxed) < requests,
            Limit::Duration(duration) => self.began.elapsed() < duration,
        }
    }
}
