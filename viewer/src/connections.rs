//! The open connections of a listener, and which of them gives way to a new one.
//!
//! A connection without a request costs its peer nothing. If those counted as much as others, a peer that opens as many
//! as there may be, and says nothing, would keep everybody else out. So the one that has been idle for longest is closed
//! for each new one: clients connect again with their next request.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{body::Body, throttle::Throttle};

/// How many connections a listener has open. Those of all three are fewer than the 1,024 files that a process may have
/// open on most systems.
pub(crate) const MAX: usize = 256;

/// How long nothing may happen with a request before its connection may give way too: its peer does not read the reply.
/// Longer than any request takes.
const STUCK: Duration = Duration::from_mins(4);

/// The open connections of a listener.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    open: Arc<Mutex<Open>>,
    crowded: Throttle,
}

#[derive(Debug, Default)]
struct Open {
    connections: BTreeMap<u64, Connection>,
    next: u64,
}

/// A connection. Each request has it among its extensions.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    cut_off: CancellationToken,
    usage: Arc<Mutex<Usage>>,
}

#[derive(Debug)]
struct Usage {
    requests: usize,
    /// When a request came or ended, or a part of a reply was taken.
    last: Instant,
}

/// A connection that is open until this is dropped.
#[derive(Debug)]
pub(crate) struct Entry {
    open: Weak<Mutex<Open>>,
    number: u64,
}

/// A request that is in progress until this is dropped.
#[derive(Debug)]
pub(crate) struct InUse(Arc<Mutex<Usage>>);

/// The body of a reply, with the request that it belongs to.
struct Reply {
    inner: Body,
    in_use: InUse,
}

// === impl Connections ===

impl Connections {
    /// Adds a connection. If there are too many, the one that has been idle for longest is closed. Returns `None` if all
    /// are in use.
    pub(crate) fn admit(&self, connection: Connection) -> Option<Entry> {
        let mut open = self.open.lock();
        let (too_many, peer_gave_way) =
            (open.connections.len() >= MAX, open.connections.len() >= MAX && open.close_idle());
        let entry = (!too_many || peer_gave_way).then(|| open.add(connection, Arc::downgrade(&self.open)));
        drop(open);
        if too_many && let Some(others) = self.crowded.allow() {
            let done = if entry.is_some() { "an idle connection was closed" } else { "a connection was refused" };
            tracing::warn!(limit = MAX, others, "{done}: too many are open");
        }
        entry
    }

    /// Closes the connection that has been idle for longest: there is no file descriptor for another one.
    pub(crate) fn close_idle(&self) {
        self.open.lock().close_idle();
    }
}

// === impl Open ===

impl Open {
    fn add(&mut self, connection: Connection, open: Weak<Mutex<Self>>) -> Entry {
        let number = self.next;
        self.next += 1;
        self.connections.insert(number, connection);
        Entry { open, number }
    }

    /// Returns whether there was one.
    fn close_idle(&mut self) -> bool {
        let now = Instant::now();
        let candidates = self.connections.iter().filter_map(|(number, connection)| {
            let usage = connection.usage.lock();
            let is_stuck = now.duration_since(usage.last) > STUCK;
            (usage.requests == 0 || is_stuck).then_some((usage.requests > 0, usage.last, *number))
        });
        let Some((_, _, number)) = candidates.min() else { return false };
        if let Some(connection) = self.connections.remove(&number) {
            connection.cut_off();
        }
        true
    }
}

// === impl Connection ===

impl Connection {
    /// Creates a connection that is closed with this token.
    pub(crate) fn new(cut_off: CancellationToken) -> Self {
        Self { cut_off, usage: Arc::new(Mutex::new(Usage { requests: 0, last: Instant::now() })) }
    }

    /// Closes the connection, whatever is on it.
    pub(crate) fn cut_off(&self) {
        self.cut_off.cancel();
    }

    /// Waits until it is to be closed.
    pub(crate) async fn is_cut_off(&self) {
        self.cut_off.cancelled().await;
    }

    /// Counts a request.
    pub(crate) fn begin(&self) -> InUse {
        let mut usage = self.usage.lock();
        usage.requests += 1;
        usage.last = Instant::now();
        InUse(Arc::clone(&self.usage))
    }
}

// === impl Entry ===

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(open) = self.open.upgrade() {
            open.lock().connections.remove(&self.number);
        }
    }
}

// === impl InUse ===

impl InUse {
    /// Returns the reply's body: the request ends with it.
    pub(crate) fn until_sent(self, body: Body) -> Body {
        Reply { inner: body, in_use: self }.boxed_unsync()
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let mut usage = self.0.lock();
        usage.requests -= 1;
        usage.last = Instant::now();
    }
}

// === impl Reply ===

impl hyper::body::Body for Reply {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        self.in_use.0.lock().last = Instant::now();
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn connection() -> Connection {
        Connection::new(CancellationToken::new())
    }

    #[tokio::test(start_paused = true)]
    async fn the_one_that_is_idle_for_longest_gives_way() {
        let connections = Connections::default();
        let mut open = Vec::new();
        for _ in 0..MAX {
            advance(Duration::from_millis(1)).await;
            let connection = connection();
            open.push((connection.clone(), connections.admit(connection).unwrap()));
        }
        let in_use = open[0].0.begin();
        drop(open[1].0.begin());
        let _new = connections.admit(connection()).unwrap();
        let closed = |open: &[(Connection, Entry)]| -> Vec<usize> {
            (0..open.len()).filter(|index| open[*index].0.cut_off.is_cancelled()).collect()
        };
        assert_eq!(closed(&open), [2], "the first is in use, the second was a moment ago");
        // Its place is free once.
        drop(open.remove(2));
        drop(in_use);
        let _other = connections.admit(connection()).unwrap();
        assert_eq!(closed(&open), [2]);
    }

    #[tokio::test(start_paused = true)]
    async fn none_gives_way_while_all_are_in_use_unless_their_peers_take_nothing() {
        let connections = Connections::default();
        let open: Vec<_> = (0..MAX)
            .map(|_| {
                let connection = connection();
                (connection.begin(), connections.admit(connection.clone()).unwrap(), connection)
            })
            .collect();
        assert!(connections.admit(connection()).is_none());
        advance(STUCK + Duration::from_secs(1)).await;
        let _new = connections.admit(connection()).expect("one is stuck");
        assert_eq!(open.iter().filter(|(_, _, connection)| connection.cut_off.is_cancelled()).count(), 1);
    }
}
