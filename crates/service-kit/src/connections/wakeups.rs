//! What of a connection has something to do: its transport, and which of its calls.
//!
//! A connection is one task, and everything in it would wake that task. It learns here what has woken it, and polls nothing
//! else: a call among a thousand that goes on does not cost a poll of the others. What is woken while the task runs is done in
//! the same poll. The task is not scheduled again for it, behind all others.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    task::{Wake, Waker},
};

use futures::task::AtomicWaker;
use parking_lot::Mutex;

/// The task waits to be woken.
const IDLE: u8 = 0;
/// The task runs, and has seen everything there was to do.
const RUNNING: u8 = 1;
/// There is something to do.
const WOKEN: u8 = 2;

/// What has something to do. It wakes the task as the waker of the transport.
#[derive(Debug, Default)]
pub(super) struct Wakeups {
    task: AtomicWaker,
    state: AtomicU8,
    transport: AtomicBool,
    calls: Mutex<VecDeque<usize>>,
}

/// The waker of a call.
#[derive(Debug)]
pub(super) struct CallWaker {
    place: usize,
    is_queued: AtomicBool,
    wakeups: Arc<Wakeups>,
}

// === impl Wakeups ===

impl Wakeups {
    /// Begins a poll of the task.
    pub(super) fn begin(&self, task: &Waker) {
        self.task.register(task);
        self.state.store(RUNNING, Ordering::SeqCst);
    }

    /// Ends a poll of the task, unless there is something to do. Returns whether it has ended.
    pub(super) fn end(&self) -> bool {
        if self.state.compare_exchange(RUNNING, IDLE, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            return true;
        }
        self.state.store(RUNNING, Ordering::SeqCst);
        false
    }

    /// Ends a poll of the task, which is polled again when others have had their turn.
    pub(super) fn end_for_others(&self, task: &Waker) {
        self.state.store(WOKEN, Ordering::SeqCst);
        task.wake_by_ref();
    }

    /// Returns whether the transport has something to do.
    pub(super) fn take_transport(&self) -> bool {
        self.transport.swap(false, Ordering::SeqCst)
    }

    /// Returns the place of a call that has something to do, or had until it ended.
    pub(super) fn take_call(&self) -> Option<usize> {
        self.calls.lock().pop_front()
    }

    /// Returns how many calls have something to do, or had until they ended.
    pub(super) fn calls(&self) -> usize {
        self.calls.lock().len()
    }

    /// Gives back memory that a burst of calls has left.
    pub(super) fn shrink(&self) {
        self.calls.lock().shrink_to_fit();
    }

    fn wake_task(&self) {
        if self.state.swap(WOKEN, Ordering::SeqCst) == IDLE {
            self.task.wake();
        }
    }
}

impl Wake for Wakeups {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.transport.store(true, Ordering::SeqCst);
        self.wake_task();
    }
}

// === impl CallWaker ===

impl CallWaker {
    pub(super) fn new(place: usize, wakeups: Arc<Wakeups>) -> Self {
        Self { place, is_queued: AtomicBool::new(false), wakeups }
    }

    /// Has to be called before the call is polled: it may wake itself.
    pub(super) fn begin(&self) {
        self.is_queued.store(false, Ordering::SeqCst);
    }
}

impl Wake for CallWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_queued.swap(true, Ordering::SeqCst) {
            self.wakeups.calls.lock().push_back(self.place);
            self.wakeups.wake_task();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn the_task_is_woken_once_until_it_runs_and_not_while_it_runs() {
        let (task, wakeups) = (Arc::<Task>::default(), Arc::<Wakeups>::default());
        let woken = || task.0.swap(0, Ordering::Relaxed);
        let waker = Waker::from(Arc::clone(&task));
        let (transport, call) = (Waker::from(Arc::clone(&wakeups)), Arc::new(CallWaker::new(3, Arc::clone(&wakeups))));
        wakeups.begin(&waker);
        transport.wake_by_ref();
        call.wake_by_ref();
        call.wake_by_ref();
        assert!(!wakeups.end(), "there is something to do");
        assert_eq!((wakeups.take_transport(), wakeups.take_call(), wakeups.take_call()), (true, Some(3), None));
        assert!(wakeups.end());
        assert_eq!(woken(), 0);
        transport.wake_by_ref();
        transport.wake_by_ref();
        assert_eq!(woken(), 1);
        wakeups.begin(&waker);
        assert!(wakeups.take_transport());
        wakeups.end_for_others(&waker);
        transport.wake_by_ref();
        assert_eq!(woken(), 1, "it is polled again anyhow");
    }
}
