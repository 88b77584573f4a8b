//! The calls of one connection: their tasks, and what the connection has done for them.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures::poll;
use hyper::rt::Executor;
use tokio_util::task::TaskTracker;

use super::reply_timeout::reset_when_expired;

/// The calls of one connection.
#[derive(Debug)]
pub(super) struct Calls {
    tasks: TaskTracker,
    begun: Instant,
    /// When a call has ended for the last time, in nanoseconds since it began.
    ended: AtomicU64,
    started: AtomicU64,
    refused: AtomicU64,
    reset: AtomicU64,
    received: AtomicU64,
    /// How often the connection was polled.
    polls: AtomicUsize,
}

/// What the calls of a connection were, since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Work {
    /// How many calls have started. Those that were reset before are not among them.
    pub(super) started: u64,
    /// How many of them were refused: who makes the call may not, or makes too many.
    pub(super) refused: u64,
    /// How many calls were reset before they could start.
    pub(super) reset: u64,
    /// How many bytes of messages they have received.
    pub(super) received: u64,
}

/// A call that has started, and ends when this is dropped.
#[derive(Debug)]
pub(super) struct StartedCall<'a>(&'a Calls);

/// Runs each call of a connection in a task of its own.
#[derive(Clone, Debug)]
pub(super) struct CallExecutor(pub(super) Arc<Calls>);

// === impl Calls ===

impl Calls {
    /// Returns how many calls have a task.
    pub(super) fn len(&self) -> usize {
        self.tasks.len()
    }

    pub(super) fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    pub(super) fn work(&self) -> Work {
        let get = |number: &AtomicU64| number.load(Ordering::Relaxed);
        Work {
            started: get(&self.started),
            refused: get(&self.refused),
            reset: get(&self.reset),
            received: get(&self.received),
        }
    }

    /// Returns whether a call has started ever.
    pub(super) fn has_started_any(&self) -> bool {
        self.work().started > 0
    }

    /// Counts a call that starts.
    pub(super) fn start_one(&self) -> StartedCall<'_> {
        self.started.fetch_add(1, Ordering::Relaxed);
        StartedCall(self)
    }

    /// Returns since when there is no call in flight, if that is so: since the last one, or since the connection began.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let ended = Duration::from_nanos(self.ended.load(Ordering::Relaxed));
        (self.len() == 0).then(|| self.begun + ended)
    }

    /// Counts a call that has started, and is refused.
    pub(super) fn refuse_one(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a call that was reset before it could start.
    fn reset_one(&self) {
        self.reset.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts bytes that a call has received.
    pub(super) fn receive(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts a poll of the connection.
    pub(super) fn add_poll(&self) {
        self.polls.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn polls(&self) -> usize {
        self.polls.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> tokio::task::JoinHandle<()> {
        self.tasks.spawn(task)
    }
}

impl Default for Calls {
    fn default() -> Self {
        Self {
            tasks: TaskTracker::new(),
            begun: Instant::now(),
            ended: AtomicU64::new(0),
            started: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            reset: AtomicU64::new(0),
            received: AtomicU64::new(0),
            polls: AtomicUsize::new(0),
        }
    }
}

// === impl StartedCall ===

impl Drop for StartedCall<'_> {
    fn drop(&mut self) {
        let ended = u64::try_from(self.0.begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.0.ended.store(ended, Ordering::Relaxed);
    }
}

// === impl CallExecutor ===

impl<F> Executor<F> for CallExecutor
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, call: F) {
        let calls = Arc::clone(&self.0);
        self.0.tasks.spawn(async move {
            let mut call = pin!(call);
            // A call waits to be polled again, see `CallService`. hyper then looks whether its caller has reset it.
            if poll!(call.as_mut()).is_pending() {
                let _started = calls.start_one();
                reset_when_expired(call).await;
            } else {
                calls.reset_one();
            }
        });
    }
}
