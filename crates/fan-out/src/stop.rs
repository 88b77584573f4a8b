//! Stops calls that run.

use std::{
    pin::pin,
    sync::atomic::{AtomicBool, Ordering},
};

use futures::future::{Either, select};
use tokio::sync::Notify;

/// A signal that is set once, and ends all futures that run under it. Unlike a `CancellationToken`, it is part of what owns it.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    is_set: AtomicBool,
    set: Notify,
}

// === impl Stop ===

impl Stop {
    pub(crate) fn set(&self) {
        self.is_set.store(true, Ordering::SeqCst);
        self.set.notify_waiters();
    }

    pub(crate) fn is_set(&self) -> bool {
        self.is_set.load(Ordering::SeqCst)
    }

    /// Runs a future to its end, or drops it as soon as the signal is set, and returns `None`. A future that ends at the same
    /// moment has its output: a call whose deadline passes with another one's has failed by that.
    pub(crate) async fn unless_set<F: Future>(&self, future: F) -> Option<F::Output> {
        let mut set = pin!(self.set.notified());
        // Registered before the flag is read, so that a signal in between is not missed.
        set.as_mut().enable();
        if self.is_set() {
            return None;
        }
        match select(pin!(future), set).await {
            Either::Left((output, _)) => Some(output),
            Either::Right(((), _)) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn a_future_that_ends_as_the_signal_is_set_has_its_output() {
        let stop = Stop::default();
        let ends = async { stop.set() };
        assert_eq!(stop.unless_set(ends).await, Some(()));
        assert_eq!(stop.unless_set(ready(())).await, None, "it does not begin");
    }

    #[tokio::test]
    async fn the_signal_ends_all_that_run() {
        let stop = Stop::default();
        let runs = || stop.unless_set(pending::<()>());
        let (first, second, ()) = tokio::join!(runs(), runs(), async { stop.set() });
        assert_eq!((first, second), (None, None));
    }
}
