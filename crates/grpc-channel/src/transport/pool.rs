//! The connections to one replica: as many as its calls need.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use tokio::sync::Notify;

use crate::transport::connection::Connection;

/// How many calls one connection carries, where the peer would take more: its frames are written and read by one task.
const STREAMS_PER_CONNECTION: usize = 1_000;

/// Connections with a bound on how many there are and on what each carries. The first has room is used, so that more
/// than one are in use only while one does not do.
#[derive(Debug)]
pub(crate) struct Connections {
    open: Mutex<Vec<Lane>>,
    opened: AtomicU64,
    max: usize,
    /// A place on a connection may have become free, or there are no connections any more.
    freed: Notify,
    /// Whoever keeps the connections has something to do: none has room, or one is closed.
    wanted: Notify,
}

#[derive(Debug)]
struct Lane {
    number: u64,
    connection: Connection,
    streams: usize,
}

/// A place on a connection, for one call.
#[derive(Debug)]
pub(crate) struct Stream {
    connections: Arc<Connections>,
    connection: Connection,
    number: u64,
}

/// Whether a call can be sent.
#[derive(Debug)]
pub(crate) enum Found {
    /// Here.
    Room(Stream),
    /// When a call ends, or one more connection is open.
    Full,
    /// There is no connection.
    None,
}

// === impl Connections ===

impl Connections {
    pub(crate) fn new(max: usize) -> Self {
        Self { open: Mutex::default(), opened: AtomicU64::new(0), max, freed: Notify::new(), wanted: Notify::new() }
    }

    /// A place on a connection. Waits until one of them has room; `None` when there are none left to wait for.
    ///
    /// Dropping the future gives up the wait.
    pub(crate) async fn stream(self: &Arc<Self>) -> Option<Stream> {
        loop {
            let freed = self.freed.notified();
            match self.try_stream() {
                Found::Room(stream) => return Some(stream),
                Found::Full => freed.await,
                Found::None => return None,
            }
        }
    }

    /// A place on a connection, if there is one now. Otherwise whoever keeps the connections is told.
    pub(crate) fn try_stream(self: &Arc<Self>) -> Found {
        let found = self.find();
        if !matches!(found, Found::Room(_)) {
            self.wanted.notify_one();
        }
        found
    }

    fn find(self: &Arc<Self>) -> Found {
        let mut open = self.lanes();
        let mut usable = open.iter_mut().filter(|lane| !lane.connection.is_closed()).peekable();
        if usable.peek().is_none() {
            return Found::None;
        }
        match usable.find(|lane| lane.streams < lane.capacity()) {
            Some(lane) => {
                lane.streams += 1;
                let (connection, number) = (lane.connection.clone(), lane.number);
                Found::Room(Stream { connections: Arc::clone(self), connection, number })
            }
            None => Found::Full,
        }
    }

    /// Adds an open connection, and returns its number.
    pub(crate) fn add(&self, connection: Connection) -> u64 {
        // A number is never used again: calls of one that was taken out may still end.
        let number = self.opened.fetch_add(1, Ordering::Relaxed);
        self.lanes().push(Lane { number, connection, streams: 0 });
        self.freed.notify_waiters();
        number
    }

    /// Takes one out that has ended.
    pub(crate) fn remove(&self, number: u64) {
        self.lanes().retain(|lane| lane.number != number);
        self.freed.notify_waiters();
    }

    /// Takes all out. Calls on them go on; the connections close after the last.
    pub(crate) fn clear(&self) {
        self.lanes().clear();
        self.freed.notify_waiters();
    }

    /// Until a connection is wanted, or found closed.
    pub(crate) async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// Whether the first connection, by which the others are opened, is closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.lanes().first().is_none_or(|lane| lane.connection.is_closed())
    }

    /// Whether one more would be of use and is allowed.
    pub(crate) fn may_grow(&self) -> bool {
        let open = self.lanes();
        open.len() < self.max && open.iter().all(|lane| lane.streams >= lane.capacity())
    }

    pub(crate) fn len(&self) -> usize {
        self.lanes().len()
    }

    fn lanes(&self) -> MutexGuard<'_, Vec<Lane>> {
        // Nothing in here can panic between two changes that belong together.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Lane ===

impl Lane {
    fn capacity(&self) -> usize {
        self.connection.max_streams().clamp(1, STREAMS_PER_CONNECTION)
    }
}

// === impl Stream ===

impl Stream {
    pub(crate) fn connection(&self) -> Connection {
        self.connection.clone()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut open = self.connections.lanes();
        if let Some(lane) = open.iter_mut().find(|lane| lane.number == self.number) {
            lane.streams -= 1;
        }
        drop(open);
        self.connections.freed.notify_one();
    }
}
