//! The connections to one endpoint: as many as its calls need.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    runtime::{Handle, Id},
    sync::{Notify, oneshot},
    time::Instant,
};

use crate::{
    error::Failure,
    observer::Observer,
    transport::{borrowers::Borrowers, connection::Connection},
};

/// How many calls one connection carries, even if the peer accepts more: one task writes and reads its frames.
const STREAMS_PER_CONNECTION: usize = 1_000;

/// A connection that ends sooner was of no use: some servers close what exceeds their limit at once.
const SHORT: Duration = Duration::from_secs(3);

/// How many waiters there have to be before it pays to look for those that gave up.
const MIN_SWEEP: usize = 64;

/// Connections with a bound on how many there are and on what each carries.
///
/// Uses the first connection with a free stream; opens another only when none has one. If calls come from several runtimes,
/// as those of a runtime for each thread, one that makes many of them has a connection of its own and uses that first: a
/// call on a connection that another thread drives takes two wake-ups between threads. Calls that wait for a stream get
/// one in the order in which they came. A connection beside the first closes when it is no longer used: HTTP/2 keeps what
/// it took for the most streams that it ever had.
#[derive(Debug)]
pub(crate) struct Pool {
    state: Mutex<State>,
    opened: AtomicU64,
    max: usize,
    /// The connect loop has something to do: no connection has a free stream, a runtime wants one of its own, or one is
    /// closed.
    wanted: Notify,
}

#[derive(Debug, Default)]
struct State {
    connections: Vec<PooledConnection>,
    /// Calls that wait for a stream, the oldest first.
    waiters: VecDeque<Waiter>,
    /// How many waiters there may be before those that gave up are removed.
    sweep_at: usize,
    borrowers: Borrowers,
}

/// A call that waits for a stream.
#[derive(Debug)]
struct Waiter {
    granted: oneshot::Sender<StreamPermit>,
    /// That of the call.
    runtime: Option<Handle>,
}

#[derive(Debug)]
struct PooledConnection {
    number: u64,
    connection: Connection,
    /// That of the connection's driver.
    runtime: Id,
    opened: Instant,
    streams: usize,
    /// Whether a call was given to it since the last sweep.
    used: bool,
}

/// A stream on a connection, for one call.
#[derive(Debug)]
pub(crate) struct StreamPermit {
    pool: Arc<Pool>,
    connection: Connection,
    number: u64,
}

/// Whether a call can be sent now.
#[derive(Debug)]
pub(crate) enum Acquire {
    /// On this stream.
    Permit(StreamPermit),
    /// When a call ends, or one more connection is open.
    Full,
    /// There is no connection.
    Closed,
}

// === impl Pool ===

impl Pool {
    /// Creates a pool of at most `max` connections.
    pub(crate) fn new(max: usize) -> Self {
        Self { state: Mutex::default(), opened: AtomicU64::new(0), max, wanted: Notify::new() }
    }

    /// Returns a stream, or `None` if there is no connection left to wait for. First come, first served.
    ///
    /// Cancel safe: dropping the future gives up the wait, and a stream that was just granted goes to the next.
    pub(crate) async fn acquire(self: &Arc<Self>) -> Option<StreamPermit> {
        let runtime = Handle::try_current().ok();
        let granted = {
            let mut state = self.state.lock();
            match self.try_acquire_in(&mut state, runtime.as_ref()) {
                Acquire::Permit(permit) => return Some(permit),
                Acquire::Closed => None,
                Acquire::Full => {
                    let (sender, granted) = oneshot::channel();
                    state.wait(Waiter { granted: sender, runtime });
                    Some(granted)
                }
            }
        };
        self.wanted.notify_one();
        granted?.await.ok()
    }

    /// Returns a stream if one is free and no other call waits for it. Otherwise notifies the connect loop.
    pub(crate) fn try_acquire(self: &Arc<Self>) -> Acquire {
        let runtime = Handle::try_current().ok();
        let acquired = self.try_acquire_in(&mut self.state.lock(), runtime.as_ref());
        if !matches!(acquired, Acquire::Permit(_)) {
            self.wanted.notify_one();
        }
        acquired
    }

    fn try_acquire_in(self: &Arc<Self>, state: &mut State, runtime: Option<&Handle>) -> Acquire {
        while state.waiters.pop_front_if(|waiter| waiter.has_gone()).is_some() {}
        if state.waiters.is_empty()
            && let Some(permit) = self.take_stream(state, runtime)
        {
            return Acquire::Permit(permit);
        }
        if state.is_usable() { Acquire::Full } else { Acquire::Closed }
    }

    /// Takes a stream for a call of this runtime: on a connection of its own, or else on any.
    fn take_stream(self: &Arc<Self>, state: &mut State, runtime: Option<&Handle>) -> Option<StreamPermit> {
        let own = runtime.map(Handle::id);
        // Looks at those of others only if it has to: their threads write to what is read there.
        let is_own = |pooled: &PooledConnection| Some(pooled.runtime) == own;
        let connections = &state.connections;
        let index = connections
            .iter()
            .position(|pooled| is_own(pooled) && pooled.has_room())
            .or_else(|| connections.iter().position(PooledConnection::has_room))?;
        if let Some(runtime) = runtime
            && !connections.iter().any(is_own)
            && connections.len() < self.max
            && state.borrowers.add(runtime, Instant::now())
        {
            self.wanted.notify_one();
        }
        let pooled = &mut state.connections[index];
        pooled.streams += 1;
        pooled.used = true;
        Some(StreamPermit { pool: Arc::clone(self), connection: pooled.connection.clone(), number: pooled.number })
    }

    /// Adds an open connection, and returns its number.
    pub(crate) fn add(self: &Arc<Self>, connection: Connection) -> u64 {
        // A number is never used again: calls on a connection that was removed may still end.
        let number = self.opened.fetch_add(1, Ordering::Relaxed);
        let (runtime, opened) = (connection.runtime(), Instant::now());
        let added = PooledConnection { number, connection, runtime, opened, streams: 0, used: true };
        self.change(|state| state.connections.push(added));
        number
    }

    /// Removes a connection that has ended.
    pub(crate) fn remove(self: &Arc<Self>, number: u64) {
        self.change(|state| {
            let Some(index) = state.connections.iter().position(|pooled| pooled.number == number) else { return };
            let now = Instant::now();
            if now < state.connections.remove(index).opened + SHORT {
                state.borrowers.pause(now);
            }
        });
    }

    /// Says that another connection could not be opened.
    pub(crate) fn not_opened(&self) {
        self.state.lock().borrowers.pause(Instant::now());
    }

    /// Removes connections that no call was given to since the last time, and that carry none: all but the first.
    pub(crate) fn remove_unused(self: &Arc<Self>) {
        let mut is_first = true;
        self.change(|state| {
            state.connections.retain_mut(|pooled| {
                let was_used = std::mem::take(&mut pooled.used) || pooled.streams > 0;
                std::mem::take(&mut is_first) || was_used
            });
        });
    }

    /// Removes all connections. Calls on them go on; each closes after its last call. Which runtimes want one of their own
    /// begins anew: what failed as the endpoint was lost says nothing of the time after.
    pub(crate) fn clear(self: &Arc<Self>) {
        self.change(|state| {
            state.connections.clear();
            state.borrowers = Borrowers::default();
        });
    }

    /// Changes the connections, and then grants what is free to the calls that wait.
    fn change(self: &Arc<Self>, change: impl FnOnce(&mut State)) {
        // Dropped after the lock is released: dropping a permit takes it again.
        let mut refused = Vec::new();
        let mut state = self.state.lock();
        change(&mut state);
        if !state.waiters.is_empty() && !state.is_usable() {
            // There is nothing left to wait for.
            state.waiters.clear();
        }
        while let Some(waiter) = state.waiters.pop_front() {
            if waiter.has_gone() {
                continue;
            }
            let Some(permit) = self.take_stream(&mut state, waiter.runtime.as_ref()) else {
                state.waiters.push_front(waiter);
                break;
            };
            if let Err(permit) = waiter.granted.send(permit) {
                refused.push(permit);
            }
        }
        drop(state);
    }

    /// Notifies the connect loop that calls want a connection.
    pub(crate) fn request_connection(&self) {
        self.wanted.notify_one();
    }

    /// Waits until a connection is wanted, or found closed. Cancel safe.
    pub(crate) async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// Returns whether the first connection, besides which the others are opened, is closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.state.lock().connections.first().is_none_or(|pooled| pooled.connection.is_closed())
    }

    /// Returns in which runtime one more connection is to be opened, if one is allowed and calls wait for a stream, or a
    /// runtime wants one of its own.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime.
    pub(crate) fn growth(&self) -> Option<Handle> {
        let mut state = self.state.lock();
        let wanted = state.borrowers.take_wanted();
        if state.connections.len() >= self.max {
            return None;
        }
        if !state.connections.iter().any(PooledConnection::has_room)
            && let Some(waiter) = state.waiters.iter().find(|waiter| !waiter.has_gone())
        {
            return Some(waiter.runtime.clone().unwrap_or_else(Handle::current));
        }
        wanted.filter(|wanted| state.connections.iter().all(|pooled| pooled.runtime != wanted.id()))
    }

    /// Returns whether there may be something to close, or something to open that could not be opened before.
    pub(crate) fn needs_sweep(&self) -> bool {
        let state = self.state.lock();
        state.connections.len() > 1 || !state.waiters.is_empty()
    }

    /// Returns how many connections are open.
    pub(crate) fn len(&self) -> usize {
        self.state.lock().connections.len()
    }
}

// === impl State ===

impl State {
    /// Adds a waiter. Those that gave up are removed whenever the queue has doubled, so that the queue stays as long as
    /// there are calls, at a constant price for each.
    fn wait(&mut self, waiter: Waiter) {
        if self.waiters.len() >= self.sweep_at {
            self.waiters.retain(|waiter| !waiter.has_gone());
            self.sweep_at = (2 * self.waiters.len()).max(MIN_SWEEP);
        }
        self.waiters.push_back(waiter);
    }

    /// Returns whether there is a connection that is not closed.
    fn is_usable(&self) -> bool {
        self.connections.iter().any(|pooled| !pooled.connection.is_closed())
    }
}

// === impl Waiter ===

impl Waiter {
    /// Returns whether the call has given up.
    fn has_gone(&self) -> bool {
        self.granted.is_closed()
    }
}

// === impl PooledConnection ===

impl PooledConnection {
    /// Returns whether it takes another call.
    fn has_room(&self) -> bool {
        !self.connection.is_closed() && self.streams < self.connection.max_streams().clamp(1, STREAMS_PER_CONNECTION)
    }
}

// === impl StreamPermit ===

impl StreamPermit {
    pub(crate) fn connection(&self) -> Connection {
        self.connection.clone()
    }
}

impl Observer for StreamPermit {
    /// Dropping it is all there is to do.
    fn ended(&mut self, _: Result<(), &Failure>) {}
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        let number = self.number;
        self.pool.change(|state| {
            if let Some(pooled) = state.connections.iter_mut().find(|pooled| pooled.number == number) {
                pooled.streams -= 1;
            }
        });
    }
}

#[cfg(test)]
mod tests;
