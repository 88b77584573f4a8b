//! The connections to one replica: as many as its calls need.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use crate::transport::connection::Connection;

/// How many calls one connection carries, where the peer would take more: its frames are written and read by one task.
const STREAMS_PER_CONNECTION: usize = 1_000;

/// Pool with a bound on how many there are and on what each carries. The first has room is used, so that more
/// than one are in use only while one does not do.
#[derive(Debug)]
pub(crate) struct Pool {
    open: Mutex<Vec<PooledConnection>>,
    opened: AtomicU64,
    max: usize,
    /// A place on a connection may have become free, or there are no connections any more.
    freed: Notify,
    /// Whoever keeps the connections has something to do: none has room, or one is closed.
    wanted: Notify,
}

#[derive(Debug)]
struct PooledConnection {
    number: u64,
    connection: Connection,
    streams: usize,
}

/// A place on a connection, for one call.
#[derive(Debug)]
pub(crate) struct StreamPermit {
    connections: Arc<Pool>,
    connection: Connection,
    number: u64,
}

/// Whether a call can be sent.
#[derive(Debug)]
pub(crate) enum Acquire {
    /// Here.
    Room(StreamPermit),
    /// When a call ends, or one more connection is open.
    Full,
    /// There is no connection.
    None,
}

// === impl Pool ===

impl Pool {
    pub(crate) fn new(max: usize) -> Self {
        Self { open: Mutex::default(), opened: AtomicU64::new(0), max, freed: Notify::new(), wanted: Notify::new() }
    }

    /// A place on a connection. Waits until one of them has room; `None` when there are none left to wait for.
    ///
    /// Dropping the future gives up the wait.
    pub(crate) async fn stream(self: &Arc<Self>) -> Option<StreamPermit> {
        loop {
            let freed = self.freed.notified();
            match self.try_acquire() {
                Acquire::Room(stream) => return Some(stream),
                Acquire::Full => freed.await,
                Acquire::None => return None,
            }
        }
    }

    /// A place on a connection, if there is one now. Otherwise whoever keeps the connections is told.
    pub(crate) fn try_acquire(self: &Arc<Self>) -> Acquire {
        let found = self.find();
        if !matches!(found, Acquire::Room(_)) {
            self.wanted.notify_one();
        }
        found
    }

    fn find(self: &Arc<Self>) -> Acquire {
        let mut open = self.pooled();
        let mut usable = open.iter_mut().filter(|pooled| !pooled.connection.is_closed()).peekable();
        if usable.peek().is_none() {
            return Acquire::None;
        }
        match usable.find(|pooled| pooled.streams < pooled.capacity()) {
            Some(pooled) => {
                pooled.streams += 1;
                let (connection, number) = (pooled.connection.clone(), pooled.number);
                Acquire::Room(StreamPermit { connections: Arc::clone(self), connection, number })
            }
            None => Acquire::Full,
        }
    }

    /// Adds an open connection, and returns its number.
    pub(crate) fn add(&self, connection: Connection) -> u64 {
        // A number is never used again: calls of one that was taken out may still end.
        let number = self.opened.fetch_add(1, Ordering::Relaxed);
        self.pooled().push(PooledConnection { number, connection, streams: 0 });
        self.freed.notify_waiters();
        number
    }

    /// Takes one out that has ended.
    pub(crate) fn remove(&self, number: u64) {
        self.pooled().retain(|pooled| pooled.number != number);
        self.freed.notify_waiters();
    }

    /// Takes all out. Calls on them go on; the connections close after the last.
    pub(crate) fn clear(&self) {
        self.pooled().clear();
        self.freed.notify_waiters();
    }

    /// Until a connection is wanted, or found closed.
    pub(crate) async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// Whether the first connection, by which the others are opened, is closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.pooled().first().is_none_or(|pooled| pooled.connection.is_closed())
    }

    /// Whether one more would be of use and is allowed.
    pub(crate) fn may_grow(&self) -> bool {
        let open = self.pooled();
        open.len() < self.max && open.iter().all(|pooled| pooled.streams >= pooled.capacity())
    }

    pub(crate) fn len(&self) -> usize {
        self.pooled().len()
    }

    fn pooled(&self) -> MutexGuard<'_, Vec<PooledConnection>> {
        self.open.lock()
    }
}

// === impl PooledConnection ===

impl PooledConnection {
    fn capacity(&self) -> usize {
        self.connection.max_streams().clamp(1, STREAMS_PER_CONNECTION)
    }
}

// === impl StreamPermit ===

impl StreamPermit {
    pub(crate) fn connection(&self) -> Connection {
        self.connection.clone()
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        let mut open = self.connections.pooled();
        if let Some(pooled) = open.iter_mut().find(|pooled| pooled.number == self.number) {
            pooled.streams -= 1;
        }
        drop(open);
        self.connections.freed.notify_one();
    }
}
