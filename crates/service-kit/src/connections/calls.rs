//! The calls of one connection: their tasks, and how many have started.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
    },
};

use futures::poll;
use hyper::rt::Executor;
use tokio_util::task::TaskTracker;

use super::reply_timeout::reset_when_expired;

/// The calls of one connection.
#[derive(Debug, Default)]
pub(super) struct Calls {
    tasks: TaskTracker,
    /// How many have started that nobody has counted.
    started: AtomicU32,
    has_started_any: AtomicBool,
    /// How often the connection was polled.
    polls: AtomicUsize,
}

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

    /// Returns how many calls have started since this was called last. Those that were reset before are not among them.
    pub(super) fn take_started(&self) -> u32 {
        self.started.swap(0, Ordering::Relaxed)
    }

    /// Returns whether a call has started ever.
    pub(super) fn has_started_any(&self) -> bool {
        self.has_started_any.load(Ordering::Relaxed)
    }

    /// Counts a call that starts.
    pub(super) fn start_one(&self) {
        self.started.fetch_add(1, Ordering::Relaxed);
        self.has_started_any.store(true, Ordering::Relaxed);
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
                calls.start_one();
                reset_when_expired(call).await;
            }
        });
    }
}
