//! A limit on the calls that all streams of users have in flight together.
//!
//! One request for a thousand users is a thousand calls, and costs its caller a few kilobytes. Without a limit of their own,
//! streams would have as many calls in flight as the gateway admits requests: far more than the users' database answers in
//! time, and every other request would wait behind them.

use std::{pin::Pin, sync::Arc};

use futures::FutureExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The limit. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct StreamLimit(Arc<Semaphore>);

/// The permits of one stream.
pub(crate) struct StreamPermits {
    limit: StreamLimit,
    held: Option<OwnedSemaphorePermit>,
    /// The stream's place in the queue. It has one at a time, so that streams take turns, however many calls each has.
    queued: Option<Pin<Box<dyn Future<Output = OwnedSemaphorePermit> + Send>>>,
}

// === impl StreamLimit ===

impl StreamLimit {
    /// Returns a limit of this many calls.
    pub(crate) fn new(max: usize) -> Self {
        Self(Arc::new(Semaphore::new(max)))
    }

    /// Returns the permits of a new stream: none.
    pub(crate) fn stream(&self) -> StreamPermits {
        StreamPermits { limit: self.clone(), held: None, queued: None }
    }
}

// === impl StreamPermits ===

impl StreamPermits {
    fn held(&self) -> usize {
        self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }

    /// Gives back the permits of calls that have ended, and takes more if there are any that no other stream waits for.
    /// Leaves the queue if no more are wanted.
    /// Returns how many of the `wanted` calls may run; `running` ones do.
    pub(crate) fn adjust(&mut self, running: usize, wanted: usize) -> usize {
        if let Some(held) = &mut self.held {
            drop(held.split(held.num_permits().saturating_sub(running)));
        }
        if self.held() >= wanted {
            // A permit that arrived while the stream has no room for it would be nobody's.
            self.queued = None;
        } else if self.queued.is_none() {
            while self.held() < wanted
                && let Ok(permit) = Arc::clone(&self.limit.0).try_acquire_owned()
            {
                self.add(permit);
            }
        }
        self.held().min(wanted)
    }

    /// Waits for a permit more. Cancel safe: the stream keeps its place in the queue.
    pub(crate) async fn wait(&mut self) {
        let queued = self.queued.get_or_insert_with(|| {
            let permit = Arc::clone(&self.limit.0).acquire_owned();
            permit.map(|permit| permit.expect("the limit is never closed")).boxed()
        });
        let permit = queued.await;
        self.queued = None;
        self.add(permit);
    }

    fn add(&mut self, permit: OwnedSemaphorePermit) {
        match &mut self.held {
            Some(held) => held.merge(permit),
            None => self.held = Some(permit),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::poll;

    use super::*;

    #[test]
    fn a_stream_that_is_alone_has_what_it_wants() {
        let limit = StreamLimit::new(10);
        let mut stream = limit.stream();
        assert_eq!(stream.adjust(0, 4), 4);
        assert_eq!(stream.adjust(4, 100), 10);
        assert_eq!(stream.adjust(3, 3), 3);
        assert_eq!(limit.0.available_permits(), 7);
        assert_eq!(stream.adjust(3, 0), 0, "those that run go on");
        assert_eq!(limit.0.available_permits(), 7);
        drop(stream);
        assert_eq!(limit.0.available_permits(), 10);
    }

    #[tokio::test]
    async fn streams_take_turns() {
        let limit = StreamLimit::new(10);
        let (mut greedy, mut late) = (limit.stream(), limit.stream());
        assert_eq!((greedy.adjust(0, 256), late.adjust(0, 4)), (10, 0));
        assert!(poll!(Box::pin(late.wait())).is_pending());
        // A call of the first has ended: it goes to the other one.
        assert_eq!(greedy.adjust(9, 256), 9);
        assert!(poll!(Box::pin(greedy.wait())).is_pending());
        late.wait().await;
        assert_eq!(late.adjust(0, 4), 0, "it gives back what it does not use");
        greedy.wait().await;
        assert_eq!(greedy.adjust(9, 256), 10);
    }

    #[tokio::test]
    async fn a_stream_without_room_keeps_nothing() {
        let limit = StreamLimit::new(10);
        let (mut greedy, mut unread, mut late) = (limit.stream(), limit.stream(), limit.stream());
        assert_eq!((greedy.adjust(0, 256), unread.adjust(0, 4), late.adjust(0, 4)), (10, 0, 0));
        assert!(poll!(Box::pin(unread.wait())).is_pending());
        assert!(poll!(Box::pin(late.wait())).is_pending());
        assert_eq!(greedy.adjust(9, 256), 9);
        assert_eq!(unread.adjust(0, 0), 0, "the permit was for it");
        late.wait().await;
    }
}
