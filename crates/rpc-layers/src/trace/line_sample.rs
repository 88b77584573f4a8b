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

/// How many lines of refused and cancelled requests are logged in each [`INTERVAL`].
const LINES: u64 = 50;

/// After this time one line says how many others there were.
const INTERVAL: Duration = Duration::from_secs(1);

/// Which requests have a log line: those that are served, and so many of those that are refused or cancelled. A caller
/// makes hundreds of thousands of the latter in a second, and would fill the disk.
#[derive(Debug)]
pub(super) struct LineSample {
    throttle: Throttle,
    /// Whether a task waits for the end of the interval.
    is_waiting: AtomicBool,
}

// === impl LineSample ===

impl LineSample {
    /// Returns whether a request that ended so has a log line.
    pub(super) fn includes(self: &Arc<Self>, reason: EndReason) -> bool {
        if !is_refused_or_cancelled(reason) {
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
        tracing::info!(parent: None, requests = others, "more requests were refused or cancelled");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_a_sample_of_lines_and_a_count() {
        let sample = Arc::new(LineSample::default());
        let logged = (0..10_000).filter(|_| sample.includes(EndReason::Dropped)).count();
        assert!((50..1_000).contains(&logged), "{logged}");
        assert!(sample.includes(EndReason::Status(Code::Ok)), "what is served is logged");
        assert!(sample.includes(EndReason::Status(Code::Unavailable)), "failures of the server are logged");
        assert!(sample.is_waiting.load(Ordering::Relaxed));
        sleep(2 * INTERVAL).await;
        assert_eq!(sample.throttle.take_suppressed(), 0, "the task has reported them");
        assert!(!sample.is_waiting.load(Ordering::Relaxed));
    }
}
