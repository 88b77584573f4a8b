//! Tells readers which traces are new or have changed, and how full the store is: server-sent events.
//!
//! One task reads the store and writes each event once; every reader gets the same bytes. A reader that falls more than
//! [`BACKLOG`] events behind is cut off, and so is a connection that takes nothing for [`STUCK`]. Browsers connect again.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, broadcast},
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{body::Body, connections::Connection};

/// How often a trace may be told. 10 a second.
const TURN: Duration = Duration::from_millis(100);

/// How often the status is told, if it has changed: each so many turns.
const STATUS_TURNS: u32 = 10;

/// How many events a reader may be behind.
const BACKLOG: usize = 256;

/// How many readers there may be.
const MAX_READERS: usize = 64;

/// How long nothing is sent before a comment is, so that a connection that is gone is found.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// How long a reader may take nothing: two heartbeats, and some margin.
const STUCK: Duration = Duration::from_secs(40);

/// The readers.
#[derive(Clone, Debug)]
pub(crate) struct Hub {
    sender: broadcast::Sender<Bytes>,
    permits: Arc<Semaphore>,
    readers: Arc<Mutex<Vec<Reader>>>,
}

/// A reader's connection, and when it last took something.
#[derive(Debug)]
struct Reader {
    taken: Arc<Mutex<Instant>>,
    connection: Connection,
}

/// Marks when the events are read, and ends with its reader.
struct Watched<S> {
    inner: S,
    taken: Arc<Mutex<Instant>>,
    _permit: OwnedSemaphorePermit,
}

/// What the events are about.
pub(crate) trait Feed: Send + Sync + 'static {
    /// Returns the next trace that has changed.
    fn next_trace(&self) -> Option<impl Serialize>;

    /// Forgets the changes: nobody reads.
    fn forget(&self);

    /// Returns the status.
    fn status(&self) -> serde_json::Value;
}

// === impl Hub ===

impl Default for Hub {
    fn default() -> Self {
        Self {
            sender: broadcast::Sender::new(BACKLOG),
            permits: Arc::new(Semaphore::new(MAX_READERS)),
            readers: Arc::default(),
        }
    }
}

impl Hub {
    /// Tells readers what happens until `stop`.
    pub(crate) async fn run(&self, feed: Arc<impl Feed>, stop: CancellationToken) {
        let mut turns = interval(TURN);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut turn, mut last_status) = (0_u32, Bytes::new());
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = turns.tick() => {}
            }
            turn = turn.wrapping_add(1);
            // Also if nobody reads: those that have left are forgotten.
            self.cut_off_stuck();
            if self.sender.receiver_count() == 0 {
                feed.forget();
                last_status = Bytes::new();
                continue;
            }
            let feed_now = Arc::clone(&feed);
            // A large trace takes a while to read.
            let told = tokio::task::spawn_blocking(move || feed_now.next_trace().map(|trace| event("trace", &trace)));
            if let Ok(Some(event)) = told.await {
                // Fails if the last reader has just left.
                let _ = self.sender.send(event);
            }
            if turn.is_multiple_of(STATUS_TURNS) {
                let status = event("status", &feed.status());
                if status != last_status {
                    last_status = status.clone();
                    let _ = self.sender.send(status);
                }
            }
        }
    }

    /// Returns the body of a new reader, or `None` if there are too many.
    pub(crate) fn read(&self, connection: Connection, stop: CancellationToken) -> Option<Body> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().ok()?;
        let taken = Arc::new(Mutex::new(Instant::now()));
        self.readers.lock().push(Reader { taken: Arc::clone(&taken), connection });
        let first = stream::once(async { Bytes::from_static(b"retry: 1000\n\n") });
        let events = stream::unfold((self.sender.subscribe(), stop), |(mut receiver, stop)| async {
            let event = tokio::select! {
                () = stop.cancelled() => return None,
                event = timeout(HEARTBEAT, receiver.recv()) => event,
            };
            let event = match event {
                Ok(Ok(event)) => event,
                // It is too far behind, or there will be no more.
                Ok(Err(_)) => return None,
                Err(_) => Bytes::from_static(b":\n\n"),
            };
            Some((event, (receiver, stop)))
        });
        let frames = first.chain(events).map(|bytes| Ok::<_, Infallible>(Frame::data(bytes)));
        let watched = Watched { inner: Box::pin(frames), taken, _permit: permit };
        Some(StreamBody::new(watched).boxed_unsync())
    }

    fn cut_off_stuck(&self) {
        self.readers.lock().retain(|reader| {
            // The stream has the other one.
            let has_left = Arc::strong_count(&reader.taken) == 1;
            let is_stuck = reader.taken.lock().elapsed() > STUCK;
            if is_stuck && !has_left {
                reader.connection.cut_off();
            }
            !has_left && !is_stuck
        });
    }
}

/// Returns an event as it is sent.
fn event(name: &str, data: &impl Serialize) -> Bytes {
    let data = serde_json::to_string(data).expect("documents have string keys");
    format!("event: {name}\ndata: {data}\n\n").into()
}

// === impl Watched ===

impl<S: Stream + Unpin> Stream for Watched<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        *self.taken.lock() = Instant::now();
        self.inner.poll_next_unpin(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use tokio::time::{advance, sleep};

    use super::*;

    /// Tells that something happens all the time.
    struct Busy;

    impl Feed for Busy {
        fn next_trace(&self) -> Option<impl Serialize> {
            Some(Instant::now().elapsed().as_nanos().to_string())
        }

        fn forget(&self) {}

        fn status(&self) -> serde_json::Value {
            serde_json::Value::Null
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_nothing_is_cut_off_and_others_are_not() {
        let (hub, stop) = (Hub::default(), CancellationToken::new());
        let (stuck, reading) = (Connection::new(CancellationToken::new()), Connection::new(CancellationToken::new()));
        let mut ignored = hub.read(stuck.clone(), stop.clone()).unwrap();
        let mut read = hub.read(reading.clone(), stop.clone()).unwrap();
        let telling = tokio::spawn({
            let (hub, stop) = (hub.clone(), stop.clone());
            async move { hub.run(Arc::new(Busy), stop).await }
        });
        let begun = Instant::now();
        while begun.elapsed() < STUCK * 2 {
            advance(TURN).await;
            while let Some(Some(frame)) = read.frame().now_or_never() {
                frame.unwrap();
            }
            sleep(Duration::from_millis(1)).await;
        }
        assert!(stuck.is_cut_off().now_or_never().is_some());
        assert!(reading.is_cut_off().now_or_never().is_none());
        // It was too far behind before that: what waits for it has a bound.
        assert!(ignored.frame().await.is_some(), "the first words");
        assert!(ignored.frame().await.is_none());
        stop.cancel();
        telling.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn readers_that_have_left_are_forgotten_though_nobody_reads() {
        let (hub, stop) = (Hub::default(), CancellationToken::new());
        for _ in 0..3 {
            drop(hub.read(Connection::new(CancellationToken::new()), stop.clone()).unwrap());
        }
        let telling = hub.run(Arc::new(Busy), stop.clone());
        let _ = timeout(TURN * 2, telling).await;
        assert!(hub.readers.lock().is_empty());
    }
}
