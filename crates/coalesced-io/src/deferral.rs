//! When a write waits for other tasks.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Wake, Waker},
};

use parking_lot::Mutex;
use tokio::task::yield_now;

/// How many bytes are written without waiting for more: a system call for so many is cheap enough.
const ENOUGH: usize = 32 << 10;

/// How many writes do not wait at most, after waiting has gained nothing several times in a row.
const MAX_SKIPPED: u8 = 15;

/// Decides whether a write waits until the other tasks that are ready have run: a hundred calls that are answered at the
/// same time are then one write.
///
/// Waiting costs another poll of the task. With one caller there is nothing to wait for; so after having waited in vain,
/// the next write does not wait, then the next three, seven, and then fifteen of sixteen do not.
#[derive(Debug, Default)]
pub(crate) struct Deferral {
    scheduled: Arc<Scheduled>,
    /// With how many bytes the write that is waiting began to wait.
    waiting: Option<usize>,
    /// How many writes do not wait, after the one that waited last.
    skip: u8,
    /// How many of them are still to come.
    to_skip: u8,
}

/// A wake-up that the scheduler sends when it has run the tasks that were ready.
#[derive(Debug, Default)]
struct Scheduled {
    is_over: AtomicBool,
    task: Mutex<Option<Waker>>,
}

// === impl Deferral ===

impl Deferral {
    /// Returns whether to wait with a write of so many bytes. The task is woken when the time to write has come.
    pub(crate) fn is_deferred(&mut self, bytes: usize, cx: &Context<'_>) -> bool {
        if let Some(begun) = self.waiting {
            if bytes < ENOUGH && self.scheduled.is_waiting(cx) {
                return true;
            }
            self.waiting = None;
            self.skip = if bytes > begun { 0 } else { MAX_SKIPPED.min(2 * self.skip + 1) };
            self.to_skip = self.skip;
            return false;
        }
        if bytes >= ENOUGH {
            return false;
        }
        if self.to_skip > 0 {
            self.to_skip -= 1;
            return false;
        }
        self.waiting = Some(bytes);
        self.scheduled.begin(cx);
        true
    }

    /// Ends a wait whose bytes are written.
    pub(crate) fn cancel(&mut self) {
        self.waiting = None;
    }
}

// === impl Scheduled ===

impl Scheduled {
    /// Asks the scheduler to be woken after all that is ready, not soon: tokio would run the task that is woken last
    /// before all others.
    fn begin(self: &Arc<Self>, cx: &Context<'_>) {
        self.is_over.store(false, Ordering::Relaxed);
        *self.task.lock() = Some(cx.waker().clone());
        let waker = Waker::from(Arc::clone(self));
        // It keeps the waker, and has no use for the future.
        let _ = pin!(yield_now()).poll(&mut Context::from_waker(&waker));
    }

    /// Returns whether the wake-up is still to come. It will wake this task.
    fn is_waiting(&self, cx: &Context<'_>) -> bool {
        let mut task = self.task.lock();
        // Within the lock: a wake-up takes the task that is there, or is seen here.
        if self.is_over.load(Ordering::Acquire) {
            return false;
        }
        match &mut *task {
            Some(task) => task.clone_from(cx.waker()),
            None => *task = Some(cx.waker().clone()),
        }
        true
    }
}

impl Wake for Scheduled {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut task = self.task.lock();
        self.is_over.store(true, Ordering::Release);
        let task = task.take();
        if let Some(task) = task {
            task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes a write of so many bytes, of which more are there when it has waited. Returns whether it waited.
    fn write(deferral: &mut Deferral, bytes: usize, more: usize) -> bool {
        // Outside of a runtime the wake-up comes at once.
        let cx = &Context::from_waker(Waker::noop());
        let waits = deferral.is_deferred(bytes, cx);
        assert!(!waits || !deferral.is_deferred(bytes + more, cx));
        waits
    }

    #[test]
    fn it_waits_as_long_as_that_gains_something() {
        let deferral = &mut Deferral::default();
        assert!((0..100).all(|_| write(deferral, 10, 1)));
    }

    #[test]
    fn it_hardly_waits_if_that_gains_nothing_and_does_again_as_soon_as_it_does() {
        let deferral = &mut Deferral::default();
        let waited: Vec<_> = (0..160).map(|_| write(deferral, 10, 0)).collect();
        assert_eq!(waited[..7], [true, false, true, false, false, false, true]);
        assert_eq!(waited.iter().filter(|waited| **waited).count(), 4 + 9);
        while !write(deferral, 10, 1) {}
        assert!((0..100).all(|_| write(deferral, 10, 1)));
    }

    #[test]
    fn it_does_not_wait_with_much() {
        let deferral = &mut Deferral::default();
        assert!(!write(deferral, ENOUGH, 0));
    }

    #[tokio::test]
    async fn it_waits_for_tasks_that_are_ready_and_not_for_its_own_other_wake_ups() {
        let mut deferral = Deferral::default();
        let mut order = Vec::new();
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
        for number in 0..5 {
            let sender = sender.clone();
            tokio::spawn(async move { sender.send(number) });
        }
        std::future::poll_fn(|cx| {
            while let Ok(number) = receiver.try_recv() {
                order.push(number);
            }
            // As a task that adds something wakes the connection.
            cx.waker().wake_by_ref();
            if deferral.is_deferred(1 + order.len(), cx) { std::task::Poll::Pending } else { ().into() }
        })
        .await;
        assert_eq!(order, [0, 1, 2, 3, 4]);
    }
}
