//! The bounds on streams.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use parking_lot::Mutex;
use rpc_layers::Throttle;
use tonic::{Status, body::Body};

/// How many streams may be open: each backend is watched by a few gateways, and has a few people with grpcurl.
const MAX_STREAMS: usize = 256;

/// How many of them one connection may have, so that it needs many connections to keep all others out.
const MAX_PER_CONNECTION: usize = 32;

/// Counts open streams, and rejects those above a limit. Clones share the count.
#[derive(Clone, Debug, Default)]
pub(super) struct StreamPool {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    open: Mutex<Open>,
    rejected: Throttle,
}

#[derive(Debug, Default)]
struct Open {
    all: usize,
    by_connection: HashMap<u64, usize>,
}

/// An open stream. It is counted until the last clone is dropped.
#[derive(Clone, Debug)]
pub(super) struct StreamPermit(#[expect(dead_code, reason = "held for its drop")] Arc<Counted>);

#[derive(Debug)]
struct Counted {
    shared: Arc<Shared>,
    connection: Option<u64>,
}

// === impl StreamPool ===

impl StreamPool {
    /// Counts a stream of the connection with this number.
    ///
    /// # Errors
    ///
    /// Returns the status of a rejected call, and logs a warning, if there are too many.
    pub(super) fn acquire(&self, connection: Option<u64>) -> Result<StreamPermit, Status> {
        match self.shared.open.lock().add(connection) {
            Ok(()) => Ok(StreamPermit(Arc::new(Counted { shared: Arc::clone(&self.shared), connection }))),
            Err(max) => {
                if let Some(others) = self.shared.rejected.allow(Instant::now()) {
                    tracing::warn!(max, others, "streams of health or reflection are rejected: too many are open");
                }
                Err(Status::resource_exhausted(format!("too many streams of health or reflection: the limit is {max}")))
            }
        }
    }
}

// === impl Open ===

impl Open {
    /// Adds a stream. Returns the limit that it exceeds if it does.
    fn add(&mut self, connection: Option<u64>) -> Result<(), usize> {
        if self.all >= MAX_STREAMS {
            return Err(MAX_STREAMS);
        }
        if let Some(connection) = connection {
            let open = self.by_connection.entry(connection).or_default();
            if *open >= MAX_PER_CONNECTION {
                return Err(MAX_PER_CONNECTION);
            }
            *open += 1;
        }
        self.all += 1;
        Ok(())
    }

    fn remove(&mut self, connection: Option<u64>) {
        self.all -= 1;
        if let Some(connection) = connection
            && let Some(open) = self.by_connection.get_mut(&connection)
        {
            *open -= 1;
            if *open == 0 {
                self.by_connection.remove(&connection);
            }
        }
    }
}

// === impl Counted ===

impl Drop for Counted {
    fn drop(&mut self) {
        self.shared.open.lock().remove(self.connection);
    }
}

/// The body of a stream's reply, which holds its permit.
pub(super) struct StreamBody {
    // Declared first, and so dropped first.
    inner: Body,
    _permit: StreamPermit,
}

// === impl StreamBody ===

impl StreamBody {
    pub(super) fn new(inner: Body, permit: StreamPermit) -> Self {
        Self { inner, _permit: permit }
    }
}

impl http_body::Body for StreamBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
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
    use super::*;

    #[test]
    fn a_connection_has_a_share_of_the_pool() {
        let pool = StreamPool::default();
        let of = |connection| -> Vec<_> {
            (0..MAX_PER_CONNECTION).map(|_| pool.acquire(Some(connection)).unwrap()).collect()
        };
        let mut open: Vec<_> = (0..u64::try_from(MAX_STREAMS / MAX_PER_CONNECTION).unwrap() - 1).map(of).collect();
        let rejected = pool.acquire(Some(0)).unwrap_err();
        assert!(rejected.message().ends_with("the limit is 32"), "{rejected}");
        open.push(of(100));
        let rejected = pool.acquire(Some(101)).unwrap_err();
        assert!(rejected.message().ends_with("the limit is 256"), "{rejected}");
        // The request and the reply hold one permit together.
        let one = open[0].pop().unwrap();
        let same = one.clone();
        drop(one);
        pool.acquire(Some(101)).unwrap_err();
        drop(same);
        pool.acquire(Some(101)).unwrap();
        drop(open);
        let left = pool.shared.open.lock();
        assert_eq!((left.all, left.by_connection.len()), (0, 0));
    }
}
