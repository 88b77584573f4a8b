//! The instants at which an open loop's requests are due.
//!
//! The pacer is a thread, because the runtime's timer has a resolution of a millisecond, which would be part of every
//! latency.

use std::{
    thread,
    time::{Duration, Instant},
};

use tokio::sync::{mpsc::UnboundedSender, watch};

use crate::load::workload::Limit;

/// How often a sleeping pacer checks whether it shall stop.
const STOP_CHECK: Duration = Duration::from_millis(100);

/// When requests are due.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// Requests per second.
    pub rate: f64,
    /// When to stop.
    pub quota: Limit,
    /// When the first one is due.
    pub began: Instant,
}

/// Sends each instant, when it comes, to the workers in turn. Their channels close after the last one.
pub fn start(schedule: Schedule, workers: Vec<UnboundedSender<Instant>>, stopped: watch::Receiver<bool>) {
    thread::spawn(move || {
        let mut workers = workers.iter().cycle();
        for due in schedule.instants() {
            while let Some(wait) = due.checked_duration_since(Instant::now()).filter(|wait| !wait.is_zero()) {
                if *stopped.borrow() {
                    return;
                }
                thread::sleep(wait.min(STOP_CHECK));
            }
            // Workers end early only if `stopped` is true, so this thread ends too.
            if workers.next().is_none_or(|worker| worker.send(due).is_err()) {
                return;
            }
        }
    });
}

// === impl Schedule ===

impl Schedule {
    /// Returns the instants, in order.
    pub fn instants(self) -> impl Iterator<Item = Instant> {
        let is_over = move |index: u64, after: Duration| match self.quota {
            Limit::Requests(requests) => index >= requests,
            Limit::Duration(duration) => after >= duration,
        };
        (0_u64..).map_while(move |index| {
            // From the start each time: a sum of steps would drift.
            #[allow(clippy::cast_precision_loss, reason = "exact below 2^53 requests")]
            let after = Duration::try_from_secs_f64(index as f64 / self.rate).ok()?;
            (!is_over(index, after)).then(|| self.began + after)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(rate: f64, quota: Limit) -> Vec<u128> {
        let began = Instant::now();
        let instants = Schedule { rate, quota, began }.instants();
        instants.map(|due| (due - began).as_millis()).collect()
    }

    #[test]
    fn requests_are_due_at_equal_intervals_up_to_the_limit() {
        assert_eq!(after(100.0, Limit::Requests(4)), [0, 10, 20, 30]);
        assert_eq!(after(4.0, Limit::Duration(Duration::from_secs(1))), [0, 250, 500, 750]);
        assert_eq!(after(0.5, Limit::Duration(Duration::from_secs(1))), [0]);
    }
}
