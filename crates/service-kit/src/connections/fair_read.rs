//! Reads from a connection no faster than its calls are run.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tokio::{
    io::{AsyncRead, ReadBuf},
    task::coop,
};
use tokio_util::task::TaskTracker;

/// How many bytes are read before the calls that they begin are started, and other tasks have a turn.
const BURST: usize = 16 << 10;

/// How many calls of a connection may have a task. A call that its caller has reset has one until it runs next, and is no
/// longer among those that HTTP/2 limits.
const MAX_TASKS: usize = 2048;

pin_project! {
    /// Yields after each burst, and while too many calls wait to be run.
    ///
    /// h2 reads as long as there is anything to read, and starts calls only then. A peer that sends without a pause would
    /// keep all other connections waiting, and each call that it makes and resets at once would cost memory.
    #[derive(Debug)]
    pub(super) struct FairRead<R> {
        #[pin]
        inner: R,
        calls: TaskTracker,
        burst: usize,
    }
}

// === impl FairRead ===

impl<R> FairRead<R> {
    /// Reads from a connection whose calls have these tasks.
    pub(super) fn new(inner: R, calls: TaskTracker) -> Self {
        Self { inner, calls, burst: 0 }
    }
}

impl<R: AsyncRead> AsyncRead for FairRead<R> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.project();
        if *this.burst >= BURST || this.calls.len() >= MAX_TASKS {
            *this.burst = 0;
            return end_turn(cx);
        }
        let before = buffer.filled().len();
        let read = this.inner.poll_read(cx, buffer);
        if read.is_pending() {
            *this.burst = 0;
        }
        ready!(read)?;
        *this.burst += buffer.filled().len() - before;
        Poll::Ready(Ok(()))
    }
}

/// Lets other tasks run. Until they have, nothing is ready to this one: h2 would read the next burst as soon as it has
/// accepted the first call of this one.
fn end_turn<T>(cx: &mut Context<'_>) -> Poll<T> {
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
    use std::future::pending;

    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn it_yields_after_each_burst_and_loses_nothing() {
        let bytes: Vec<_> = (0..=u8::MAX).cycle().take(3 * BURST).collect();
        let mut reader = FairRead::new(&*bytes, TaskTracker::new());
        let mut read = vec![0; BURST];
        reader.read_exact(&mut read).await.unwrap();
        assert!(futures::poll!(std::pin::pin!(reader.read_u8())).is_pending(), "the burst is over");
        reader.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, bytes);
    }

    #[tokio::test]
    async fn it_waits_while_too_many_calls_have_a_task() {
        let calls = TaskTracker::new();
        let tasks: Vec<_> = (0..MAX_TASKS).map(|_| calls.spawn(pending::<()>())).collect();
        let mut reader = FairRead::new(&b"x"[..], calls.clone());
        assert!(futures::poll!(std::pin::pin!(reader.read_u8())).is_pending());
        tasks[0].abort();
        assert_eq!(reader.read_u8().await.unwrap(), b'x');
    }
}
