//! Reads from a connection no faster than its calls are run.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, ReadBuf, Take},
    time::{Sleep, sleep},
};

use super::{calls::Calls, read_pace::ReadPace};

/// How many calls of a connection may be in flight. A call that its caller has reset is until it is polled next, and is no
/// longer among those that HTTP/2 limits.
const MAX_IN_FLIGHT: usize = 2048;

/// A connection that was paused for so long in all is worth a warning. A burst of an honest caller is not: thousands of calls
/// that are refused or cancelled at once cost more than they earn too.
const REMARKABLE: Duration = Duration::from_secs(5);

/// Yields after each turn of its [`ReadPace`], and while too many calls wait to be run. Pauses if the peer costs more than
/// its calls earn.
///
/// h2 reads as long as there is anything to read, and starts calls only then. A peer that sends without a pause would
/// keep all other connections waiting, and each call that it makes and resets at once would cost memory.
#[derive(Debug)]
pub(super) struct FairRead<R, W> {
    inner: Take<R>,
    calls: Arc<Calls>,
    pace: ReadPace,
    /// What was read last: when, how much, and in which poll of the connection.
    last: Option<(Instant, usize, usize)>,
    /// The poll of the connection that ended the last turn.
    yielded_in: Option<usize>,
    pause: Option<Pause>,
    paused: Duration,
    slowed: Slowed,
    /// Warns of a peer that is slowed down. `None` if it has.
    warn: Option<W>,
}

/// How many connections are slowed down at this moment. Clones share the number.
#[derive(Clone, Debug, Default)]
pub(super) struct Slowed(Arc<AtomicUsize>);

/// A time in which nothing is read. The connection is slowed down for as long as this is there.
#[derive(Debug)]
struct Pause {
    over: Pin<Box<Sleep>>,
    slowed: Slowed,
}

// === impl FairRead ===

impl<R: AsyncRead + Unpin, W: FnOnce()> FairRead<R, W> {
    /// Reads from a connection with these calls. `warn` is called once if it is slowed down for a while.
    /// `slowed` is shared with the other connections.
    pub(super) fn new(inner: R, calls: Arc<Calls>, slowed: Slowed, warn: W) -> Self {
        let pace = ReadPace::new(Instant::now());
        Self {
            inner: inner.take(0),
            calls,
            pace,
            last: None,
            yielded_in: None,
            pause: None,
            paused: Duration::ZERO,
            slowed,
            warn: Some(warn),
        }
    }

    /// Counts what it has cost to handle what was read last.
    fn settle(&mut self, now: Instant) {
        let Some((read, bytes, poll)) = self.last.take() else { return };
        // The connection may have waited for something else since then.
        let is_same_poll = poll == self.calls.polls();
        let time = if is_same_poll { now.saturating_duration_since(read) } else { Duration::ZERO };
        self.pace.spend(bytes, time);
    }

    /// Ends a turn: lets other tasks run. Pauses if the peer has spent too much.
    fn end_turn(&mut self, now: Instant) {
        self.yielded_in = Some(self.calls.polls());
        self.pace.begin_turn();
        self.pace.earn(self.calls.work(), now);
        let Some(pause) = self.pace.pause(self.slowed.len()) else { return };
        self.pause = Some(self.slowed.pause(pause));
        self.paused += pause;
        if self.paused >= REMARKABLE
            && let Some(warn) = self.warn.take()
        {
            warn();
        }
    }

    /// Waits until other tasks have had their turn, and the pause is over. In the same poll of the connection nothing more
    /// is read: h2 would read the next burst as soon as it has accepted the first call of this one.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.over.as_mut().poll(cx));
            self.pause = None;
        }
        if self.yielded_in == Some(self.calls.polls()) {
            self.calls.yield_to_others();
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

// === impl Slowed ===

impl Slowed {
    fn len(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn pause(&self, time: Duration) -> Pause {
        self.0.fetch_add(1, Ordering::Relaxed);
        Pause { over: Box::pin(sleep(time)), slowed: self.clone() }
    }
}

// === impl Pause ===

impl Drop for Pause {
    fn drop(&mut self) {
        self.slowed.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<R: AsyncRead + Unpin, W: FnOnce() + Unpin> AsyncRead for FairRead<R, W> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_turn(cx));
        let now = Instant::now();
        this.settle(now);
        if this.pace.is_turn_over() || this.calls.len() >= MAX_IN_FLIGHT {
            this.end_turn(now);
            ready!(this.poll_turn(cx));
        }
        let before = buffer.filled().len();
        this.inner.set_limit(this.pace.part() as u64);
        let read = Pin::new(&mut this.inner).poll_read(cx, buffer);
        if read.is_pending() {
            this.pace.begin_turn();
        }
        ready!(read)?;
        let now = Instant::now();
        this.calls.read_at(now);
        this.last = Some((now, buffer.filled().len() - before, this.calls.polls()));
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, pin::pin, task::Waker};

    use futures::poll;

    use super::{super::read_pace::BURST, *};

    /// Reads in a poll of the connection.
    fn poll_read<R, W>(reader: &mut FairRead<R, W>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<usize>
    where
        R: AsyncRead + Unpin,
        W: FnOnce() + Unpin,
    {
        reader.calls.add_poll();
        let mut buffer = ReadBuf::new(buffer);
        let read = Pin::new(reader).poll_read(cx, &mut buffer);
        read.map(|read| read.map(|()| buffer.filled().len()).unwrap())
    }

    /// A peer that sends so many bytes at once, and then nothing for a moment.
    struct Trickle {
        bytes: usize,
        is_next: bool,
    }

    impl AsyncRead for Trickle {
        fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            self.is_next = !self.is_next;
            if self.is_next {
                buffer.put_slice(&vec![0; self.bytes]);
                return Poll::Ready(Ok(()));
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn it_yields_after_each_burst_and_loses_nothing() {
        let bytes: Vec<_> = (0..=u8::MAX).cycle().take(3 * BURST).collect();
        let mut reader = FairRead::new(&*bytes, Arc::default(), Slowed::default(), || {});
        let (mut read, mut yields, mut buffer) = (Vec::<u8>::new(), 0, [0; 4096]);
        let cx = &mut Context::from_waker(Waker::noop());
        loop {
            match poll_read(&mut reader, cx, &mut buffer) {
                Poll::Ready(0) => break,
                Poll::Ready(length) => read.extend(&buffer[..length]),
                Poll::Pending => {
                    yields += 1;
                    assert!(
                        Pin::new(&mut reader).poll_read(cx, &mut ReadBuf::new(&mut [0; 9])).is_pending(),
                        "same poll"
                    );
                }
            }
        }
        assert_eq!(read, bytes);
        // More if this thread is suspended meanwhile, which looks like work.
        assert!(yields >= 2, "{yields}");
    }

    #[tokio::test]
    async fn it_waits_while_too_many_calls_are_in_flight() {
        let calls = Arc::<Calls>::default();
        let mut in_flight: Vec<_> = (0..MAX_IN_FLIGHT).map(|_| calls.begin()).collect();
        let mut reader = FairRead::new(&b"x"[..], Arc::clone(&calls), Slowed::default(), || {});
        let mut buffer = [0];
        assert!(poll!(pin!(poll_fn(|cx| poll_read(&mut reader, cx, &mut buffer)))).is_pending());
        in_flight.pop();
        poll_fn(|cx| poll_read(&mut reader, cx, &mut buffer)).await;
        assert_eq!(buffer, *b"x");
    }

    /// Reads from a peer in 4,000 polls, as if it took so long to handle each part. Returns how often the peer was paused, and
    /// how many warnings there were.
    async fn pauses(peer: impl AsyncRead + Unpin, spent: Duration) -> (usize, usize) {
        let (mut warnings, mut pauses) = (0, 0);
        let mut reader = FairRead::new(peer, Arc::default(), Slowed::default(), || warnings += 1);
        tokio::time::pause();
        for _ in 0..4_000 {
            let cx = &mut Context::from_waker(Waker::noop());
            if let Poll::Ready(read) = poll_read(&mut reader, cx, &mut [0; 256]) {
                assert_ne!(read, 0);
                reader.pace.spend(0, spent);
            }
            if reader.pause.is_some() {
                pauses += 1;
                tokio::time::advance(Duration::from_secs(1)).await;
            }
        }
        drop(reader);
        (pauses, warnings)
    }

    #[tokio::test]
    async fn a_peer_that_costs_more_than_its_calls_earn_is_paused_and_there_is_one_warning() {
        let (pauses, warnings) = pauses(&*vec![0; 100 * BURST], Duration::from_millis(20)).await;
        assert!(pauses > 5, "{pauses}");
        assert_eq!(warnings, 1);
    }

    #[tokio::test]
    async fn so_is_one_that_sends_little_at_a_time() {
        let (pauses, warnings) = pauses(Trickle { bytes: 9, is_next: false }, Duration::from_micros(900)).await;
        assert!(pauses > 5, "{pauses}");
        assert_eq!(warnings, 1);
    }
}
