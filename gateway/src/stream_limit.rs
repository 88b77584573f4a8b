//! A limit on the calls that all streams of users have in flight together.
//!
//! One request for a thousand users is a thousand calls, and costs its caller a few kilobytes. Without a limit of their own,
//! streams would have as many calls in flight as the gateway admits requests: far more than the users' database answers in
//! time, and every other request would wait behind them.

use std::{mem, pin::Pin, sync::Arc};

use futures::FutureExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The limit. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct StreamLimit(Arc<Semaphore>);

/// The permits of one stream.
pub(crate) struct StreamPermits {
    limit: StreamLimit,
    held: Option<OwnedSemaphorePermit>,
    /// How many of them have just been waited for: their calls start next.
    granted: usize,
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
        StreamPermits { limit: self.clone(), held: None, granted: 0, queued: None }
    }
}

// === impl StreamPermits ===

impl StreamPermits {
    fn held(&self) -> usize {
        self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }

    /// Gives back the permits of calls that have ended, and takes more if there are any that no other stream waits for.
    /// A permit that was [waited for](Self::wait) is kept if it is still wanted, and given back next time if no call has
    /// started. Leaves the queue if no more are wanted.
    ///
    /// `running` is how many calls run, `wanted` how many should. Returns how many may: `wanted` or fewer. Those that run
    /// go on, also if they are more.
    pub(crate) fn adjust(&mut self, running: usize, wanted: usize) -> usize {
        let granted = mem::take(&mut self.granted);
        if let Some(held) = &mut self.held {
            let kept = running.max(wanted.min(running + granted));
            drop(held.split(held.num_permits().saturating_sub(kept)));
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

    /// Waits for a permit more, which the next [`adjust`](Self::adjust) counts. Cancel safe: the stream keeps its place in
    /// the queue.
    pub(crate) async fn wait(&mut self) {
        let queued = self.queued.get_or_insert_with(|| {
            let permit = Arc::clone(&self.limit.0).acquire_owned();
            permit.map(|permit| permit.expect("the limit is never closed")).boxed()
        });
        let permit = queued.await;
        self.queued = None;
        self.granted += 1;
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
    use std::time::Duration;

    use futures::{StreamExt as _, future::join_all, poll, stream::FuturesUnordered};
    use tokio::time::{Instant, sleep};

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
        assert_eq!(late.adjust(0, 4), 1, "a call may start");
        assert_eq!(late.adjust(1, 4), 1, "and runs");
        assert!(poll!(Box::pin(greedy.wait())).is_pending());
        assert_eq!(late.adjust(0, 4), 0, "its permit goes to whoever waits");
        greedy.wait().await;
        assert_eq!(greedy.adjust(9, 256), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn each_permit_that_a_stream_waits_for_is_a_call_that_starts() {
        const STREAMS: u32 = 50;
        const CALLS: u32 = 8;
        const LIMIT: u32 = 4;
        const TIME: Duration = Duration::from_millis(10);
        let (limit, begun) = (StreamLimit::new(LIMIT as usize), Instant::now());
        let streams = (0..STREAMS).map(|_| {
            let mut permits = limit.stream();
            async move {
                let (mut left, mut waits, mut first, mut running) = (CALLS, 0, None, FuturesUnordered::new());
                while left > 0 {
                    let wanted = left.min(LIMIT) as usize;
                    let permitted = permits.adjust(running.len(), wanted);
                    while running.len() < permitted {
                        first.get_or_insert_with(|| begun.elapsed());
                        running.push(sleep(TIME));
                    }
                    tokio::select! {
                        biased;
                        Some(()) = running.next() => left -= 1,
                        () = permits.wait(), if permitted < wanted => waits += 1,
                    }
                    assert!(waits <= CALLS, "permits are passed on without a call");
                }
                first.unwrap()
            }
        });
        let first = join_all(streams).await.into_iter().max().unwrap();
        // The first stream has all permits for one round. Then each of the others has one.
        assert!(first <= TIME * (STREAMS - 1).div_ceil(LIMIT), "{first:?}: streams take turns");
        // None of the permits was unused while a stream waited for it.
        assert_eq!(begun.elapsed(), TIME * STREAMS * CALLS / LIMIT);
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
        assert!(poll!(Box::pin(unread.wait())).is_pending());
        assert_eq!(late.adjust(0, 0), 0, "it has waited for a permit that it has no room for now");
        unread.wait().await;
    }
}
