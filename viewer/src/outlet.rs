//! A bounded queue of requests on their way to somewhere slower: a disk, or another receiver.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::{otlp::signal::Signal, throttle::Throttle};

/// How many bytes, and how many requests, wait at most.
const MAX_BYTES: usize = 32 << 20;
const MAX_REQUESTS: usize = 4_096;

/// The near end of the queue.
#[derive(Clone, Debug)]
pub(crate) struct Outlet {
    queue: mpsc::Sender<Item>,
    room: Arc<Semaphore>,
    counts: Arc<OutletCounts>,
}

/// A request in the queue, as protobuf.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) signal: Signal,
    pub(crate) bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

/// How often it is logged that requests are lost.
const LOG_EVERY: Duration = Duration::from_mins(1);

/// What became of requests.
#[derive(Debug)]
pub(crate) struct OutletCounts {
    passed: AtomicU64,
    dropped: AtomicU64,
    losses: Throttle,
}

// === impl Outlet ===

impl Outlet {
    /// Returns the two ends of a queue.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Item>) {
        let (queue, items) = mpsc::channel(MAX_REQUESTS);
        (Self { queue, room: Arc::new(Semaphore::new(MAX_BYTES)), counts: Arc::default() }, items)
    }

    pub(crate) fn counts(&self) -> &Arc<OutletCounts> {
        &self.counts
    }

    /// Puts a request into the queue. If there is no room it is dropped, and counted.
    pub(crate) fn send(&self, signal: Signal, bytes: &Bytes) {
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).try_acquire_many_owned(len);
        let sent = room.ok().map(|room| self.queue.try_send(Item { signal, bytes: bytes.clone(), _room: room }));
        if !matches!(sent, Some(Ok(()))) {
            self.counts.lose(1, &"there is no room for more");
        }
    }
}

// === impl OutletCounts ===

impl OutletCounts {
    pub(crate) fn pass(&self, requests: u64) {
        self.passed.fetch_add(requests, Ordering::Relaxed);
    }

    /// Counts requests that are lost on this way, and logs it once a minute.
    pub(crate) fn lose(&self, requests: u64, reason: &dyn std::fmt::Display) {
        if requests == 0 {
            return;
        }
        let dropped = requests + self.dropped.fetch_add(requests, Ordering::Relaxed);
        if self.losses.allow().is_some() {
            tracing::warn!(%reason, dropped, "requests are lost on their way to another receiver or to the disk");
        }
    }

    pub(crate) fn read(&self) -> (u64, u64) {
        (self.passed.load(Ordering::Relaxed), self.dropped.load(Ordering::Relaxed))
    }
}

impl Default for OutletCounts {
    fn default() -> Self {
        Self { passed: AtomicU64::new(0), dropped: AtomicU64::new(0), losses: Throttle::new(LOG_EVERY) }
    }
}
