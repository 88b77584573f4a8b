//! What the calls of one connection are and were, counted.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

/// The calls of one connection.
#[derive(Debug)]
pub(super) struct Calls {
    in_flight: TaskTracker,
    begun: Instant,
    /// When a call has ended for the last time, in nanoseconds since it began.
    ended: AtomicU64,
    /// When something was read from the connection, likewise.
    read: AtomicU64,
    started: AtomicU64,
    refused: AtomicU64,
    reset: AtomicU64,
    received: AtomicU64,
    /// How often the transport was polled.
    polls: AtomicUsize,
    /// Whether other connections are to have their turn.
    yields: AtomicBool,
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

/// A call in flight: until this is dropped. It counts as one that was reset unless it has started.
#[derive(Debug)]
pub(super) struct CallInFlight {
    calls: Arc<Calls>,
    is_started: bool,
    _token: TaskTrackerToken,
}

// === impl Calls ===

impl Calls {
    /// Returns how many calls are in flight.
    pub(super) fn len(&self) -> usize {
        self.in_flight.len()
    }

    /// Tracks the calls in flight.
    pub(super) fn tracker(&self) -> &TaskTracker {
        &self.in_flight
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

    /// Counts a call that has been accepted, and has yet to start.
    pub(super) fn begin(self: &Arc<Self>) -> CallInFlight {
        CallInFlight { calls: Arc::clone(self), is_started: false, _token: self.in_flight.token() }
    }

    /// Returns since when there is no call in flight, if that is so: since the last one, or since the connection began.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let ended = Duration::from_nanos(self.ended.load(Ordering::Relaxed));
        (self.len() == 0).then(|| self.begun + ended)
    }

    /// Counts a call that was reset before it could start.
    pub(super) fn reset_one(&self) {
        self.reset.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts bytes that a call has received.
    pub(super) fn receive(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts a poll of the transport.
    pub(super) fn add_poll(&self) {
        self.polls.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn polls(&self) -> usize {
        self.polls.load(Ordering::Relaxed)
    }

    /// Says that something was read from the connection.
    pub(super) fn read_at(&self, now: Instant) {
        self.read.store(self.since_begun(now), Ordering::Relaxed);
    }

    /// Returns how long nothing has been read from the connection.
    pub(super) fn silent(&self) -> Duration {
        self.begun.elapsed().saturating_sub(Duration::from_nanos(self.read.load(Ordering::Relaxed)))
    }

    /// Says that other connections are to have their turn before more is read.
    pub(super) fn yield_to_others(&self) {
        self.yields.store(true, Ordering::Relaxed);
    }

    /// Returns whether other connections are to have their turn, once.
    pub(super) fn take_yield(&self) -> bool {
        self.yields.load(Ordering::Relaxed) && self.yields.swap(false, Ordering::Relaxed)
    }

    fn since_begun(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.begun).as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Default for Calls {
    fn default() -> Self {
        Self {
            in_flight: TaskTracker::new(),
            begun: Instant::now(),
            ended: AtomicU64::new(0),
            read: AtomicU64::new(0),
            started: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            reset: AtomicU64::new(0),
            received: AtomicU64::new(0),
            polls: AtomicUsize::new(0),
            yields: AtomicBool::new(false),
        }
    }
}

// === impl CallInFlight ===

impl CallInFlight {
    pub(super) fn is_started(&self) -> bool {
        self.is_started
    }

    /// Counts the call as one that has started.
    pub(super) fn start(&mut self) {
        self.is_started = true;
        self.calls.started.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts the call as one that is refused.
    pub(super) fn refuse(&self) {
        self.calls.refused.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for CallInFlight {
    fn drop(&mut self) {
        if self.is_started {
            self.calls.ended.store(self.calls.since_begun(Instant::now()), Ordering::Relaxed);
        } else {
            self.calls.reset_one();
        }
    }
}
