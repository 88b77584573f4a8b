//! Limits the log lines of requests that cost their callers nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{runtime::Handle, time::sleep};
use tonic::Code;

use super::end_reason::EndReason;
use crate::throttle::Throttle;

/// How many lines of refused, cancelled and late requests are logged in each [`INTERVAL`].
const LINES: u64 = 50;

/// After this time one line says how many others there were.
const INTERVAL: Duration = Duration::from_secs(1);

/// Which requests have a log line: those that are served, and so many of those that are refused, cancelled, or late by a
/// deadline that their caller set. A caller makes hundreds of thousands of the latter in a second, and would fill the disk.
#[derive(Debug)]
pub(super) struct LineSample {
    throttle: Throttle,
    /// Whether a task waits for the end of the interval.
    is_waiting: AtomicBool,
}

// === impl LineSample ===

impl LineSample {
    /// Returns whether a request that ended so has a log line. `is_due` says whether the deadline that its caller set has
    /// passed.
    pub(super) fn includes(self: &Arc<Self>, reason: EndReason, is_due: bool) -> bool {
        // However short that is: without this, `grpc-timeout: 1n` would give each request of a flood a line.
        let is_late = is_due && reason == EndReason::Status(Code::DeadlineExceeded);
        if !is_late && !is_refused_or_cancelled(reason) {
            return true;
        }
        if let Some(others) = self.throttle.allow(Instant::now()) {
            report(others);
            return true;
        }
        // The end of a flood is to be reported too, although no request may follow it.
        if !self.is_waiting.swap(true, Ordering::Relaxed)
            && let Ok(runtime) = Handle::try_current()
        {
            let sample = Arc::clone(self);
            runtime.spawn(async move {
                sleep(INTERVAL).await;
                sample.is_waiting.store(false, Ordering::Relaxed);
                report(sample.throttle.take_suppressed());
            });
        }
        false
    }
}

impl Default for LineSample {
    fn default() -> Self {
        Self { throttle: Throttle::new(LINES, INTERVAL), is_waiting: AtomicBool::new(false) }
    }
}

/// Returns whether a request ended so before it has cost much: it was cancelled, or refused for what it is or who sent
/// it.
fn is_refused_or_cancelled(reason: EndReason) -> bool {
    match reason {
        EndReason::Dropped => true,
        EndReason::Status(code) => matches!(
            code,
            Code::Cancelled
                | Code::InvalidArgument
                | Code::OutOfRange
                | Code::PermissionDenied
                | Code::ResourceExhausted
                | Code::Unauthenticated
                | Code::Unimplemented
        ),
    }
}

fn report(others: u64) {
    if others > 0 {
        tracing::info!(parent: None, requests = others, "more requests were refused, cancelled or late");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_a_sample_of_lines_and_a_count() {
        let sample = Arc::new(LineSample::default());
        let logged = (0..10_000).filter(|_| sample.includes(EndReason::Dropped, false)).count();
        assert!((50..1_000).contains(&logged), "{logged}");
        assert!(sample.includes(EndReason::Status(Code::Ok), false), "what is served is logged");
        assert!(sample.includes(EndReason::Status(Code::Unavailable), true), "failures of the server are logged");
        assert!(sample.includes(EndReason::Status(Code::DeadlineExceeded), false), "its own deadline is logged");
        assert!(sample.is_waiting.load(Ordering::Relaxed));
        sleep(2 * INTERVAL).await;
        assert_eq!(sample.throttle.take_suppressed(), 0, "the task has reported them");
        assert!(!sample.is_waiting.load(Ordering::Relaxed));
    }

    #[tokio::test(start_paused = true)]
    async fn deadlines_that_callers_set_are_a_flood_too() {
        let sample = Arc::new(LineSample::default());
        let late = EndReason::Status(Code::DeadlineExceeded);
        let logged = (0..10_000).filter(|_| sample.includes(late, true)).count();
        assert!((50..1_000).contains(&logged), "{logged}");
    }
}
