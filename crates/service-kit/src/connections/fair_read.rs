//! Reads from a connection no faster than its calls are run.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, ReadBuf, Take},
    task::coop,
    time::{Sleep, sleep},
};

use super::{calls::Calls, read_pace::ReadPace};

/// How many calls of a connection may have a task. A call that its caller has reset has one until it runs next, and is no
/// longer among those that HTTP/2 limits.
const MAX_TASKS: usize = 2048;

/// A connection that was paused for so long in all is worth a warning.
const REMARKABLE: Duration = Duration::from_secs(1);

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
    pause: Option<Pin<Box<Sleep>>>,
    paused: Duration,
    /// Warns of a peer that is slowed down. `None` if it has.
    warn: Option<W>,
}

// === impl FairRead ===

impl<R: AsyncRead + Unpin, W: FnOnce()> FairRead<R, W> {
    /// Reads from a connection with these calls. `warn` is called once if it is slowed down for a while.
    pub(super) fn new(inner: R, calls: Arc<Calls>, warn: W) -> Self {
        let pace = ReadPace::new(Instant::now());
        Self { inner: inner.take(0), calls, pace, last: None, pause: None, paused: Duration::ZERO, warn: Some(warn) }
    }

    /// Counts what it has cost to handle what was read last.
    fn settle(&mut self, now: Instant) {
        let Some((read, bytes, poll)) = self.last.take() else { return };
        // The connection may have waited for something else since then.
        let is_same_poll = poll == self.calls.polls();
        let time = if is_same_poll { now.saturating_duration_since(read) } else { Duration::ZERO };
        self.pace.spend(bytes, time);
    }

    /// Ends a turn: lets other tasks run, or pauses if the peer has spent too much.
    fn end_turn(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<()> {
        self.pace.begin_turn();
        self.pace.earn(self.calls.take_started(), now);
        let Some(pause) = self.pace.pause() else { return yield_to_others(cx) };
        self.paused += pause;
        if self.paused >= REMARKABLE
            && let Some(warn) = self.warn.take()
        {
            warn();
        }
        let mut pause = Box::pin(sleep(pause));
        if pause.as_mut().poll(cx).is_pending() {
            self.pause = Some(pause);
        }
        yield_to_others(cx)
    }
}

impl<R: AsyncRead + Unpin, W: FnOnce() + Unpin> AsyncRead for FairRead<R, W> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(pause) = &mut this.pause {
            ready!(pause.as_mut().poll(cx));
            this.pause = None;
        }
        let now = Instant::now();
        this.settle(now);
        if this.pace.is_turn_over() || this.calls.len() >= MAX_TASKS {
            ready!(this.end_turn(cx, now));
        }
        let before = buffer.filled().len();
        this.inner.set_limit(this.pace.part() as u64);
        let read = Pin::new(&mut this.inner).poll_read(cx, buffer);
        if read.is_pending() {
            this.pace.begin_turn();
        }
        ready!(read)?;
        this.last = Some((Instant::now(), buffer.filled().len() - before, this.calls.polls()));
        Poll::Ready(Ok(()))
    }
}

/// Lets other tasks run. Until they have, nothing is ready to this one: h2 would read the next burst as soon as it has
/// accepted the first call of this one.
fn yield_to_others(cx: &mut Context<'_>) -> Poll<()> {
    // tokio's budget has 128 steps. Outside of a task it has no end.
    for _ in 0..=u8::MAX {
        match coop::poll_proceed(cx) {
            Poll::Ready(step) => step.made_progress(),
            Poll::Pending => return Poll::Pending,
        }
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}

#[cfg(test)]
mod tests {
    use std::{future::pending, pin::pin};

    use futures::poll;
    use tokio::io::AsyncReadExt as _;

    use super::{super::read_pace::BURST, *};

    #[tokio::test]
    async fn it_yields_after_each_burst_and_loses_nothing() {
        let bytes: Vec<_> = (0..=u8::MAX).cycle().take(3 * BURST).collect();
        let mut reader = FairRead::new(&*bytes, Arc::default(), || {});
        let (mut read, mut yields, mut buffer) = (Vec::<u8>::new(), 0, [0; 4096]);
        loop {
            match poll!(pin!(reader.read(&mut buffer))) {
                Poll::Ready(Ok(0)) => break,
                Poll::Ready(length) => read.extend(&buffer[..length.unwrap()]),
                Poll::Pending => {
                    yields += 1;
                    tokio::task::yield_now().await;
                }
            }
        }
        assert_eq!(read, bytes);
        // More if this thread is suspended meanwhile, which looks like work.
        assert!(yields >= 2, "{yields}");
    }

    #[tokio::test]
    async fn it_waits_while_too_many_calls_have_a_task() {
        let calls = Arc::<Calls>::default();
        let tasks: Vec<_> = (0..MAX_TASKS).map(|_| calls.spawn(pending::<()>())).collect();
        let mut reader = FairRead::new(&b"x"[..], Arc::clone(&calls), || {});
        assert!(poll!(pin!(reader.read_u8())).is_pending());
        tasks[0].abort();
        assert_eq!(reader.read_u8().await.unwrap(), b'x');
    }

    #[tokio::test]
    async fn a_peer_that_costs_more_than_its_calls_earn_is_paused_and_there_is_one_warning() {
        let bytes = vec![0; 100 * BURST];
        let (mut warnings, mut paused) = (0, 0);
        let mut reader = FairRead::new(&*bytes, Arc::default(), || warnings += 1);
        tokio::time::pause();
        let mut buffer = [0; 256];
        for _ in 0..40 {
            // As if what was read had taken long.
            if let Poll::Ready(read) = poll!(pin!(reader.read(&mut buffer))) {
                assert_ne!(read.unwrap(), 0);
                reader.pace.spend(0, Duration::from_millis(20));
            }
            if reader.pause.is_some() {
                paused += 1;
                tokio::time::advance(Duration::from_secs(1)).await;
            }
            tokio::task::yield_now().await;
        }
        drop(reader);
        assert!(paused > 5, "{paused}");
        assert_eq!(warnings, 1);
    }
}
