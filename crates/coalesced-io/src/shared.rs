//! What a stream and its flusher share. Both are used in one task: the lock is never waited for.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use parking_lot::{Mutex, MutexGuard};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{deferral::Deferral, read_buffer::ReadBuffer, write_buffer::WriteBuffer};

/// A stream and its buffers. Clones share them.
#[derive(Debug)]
pub(crate) struct Shared<T: AsyncWrite + Unpin>(Arc<Mutex<State<T>>>);

/// A stream and its buffers.
#[derive(Debug)]
pub(crate) struct State<T: AsyncWrite + Unpin> {
    stream: T,
    written: WriteBuffer,
    /// `None` if it is read without a buffer.
    read: Option<ReadBuffer>,
    deferral: Deferral,
    is_in_turn: bool,
    /// Whether the stream did not take all that was written last.
    is_stalled: bool,
}

// === impl Shared ===

impl<T: AsyncWrite + Unpin> Shared<T> {
    pub(crate) fn new(stream: T, read: Option<ReadBuffer>) -> Self {
        let (written, deferral) = Default::default();
        Self(Arc::new(Mutex::new(State { stream, written, read, deferral, is_in_turn: false, is_stalled: false })))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock()
    }
}

impl<T: AsyncWrite + Unpin> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

// === impl State ===

impl<T: AsyncWrite + Unpin> State<T> {
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.written.poll_add(&mut self.stream, cx, slices)
    }

    /// Flushes at the end of the turn, or now if there is none.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_in_turn {
            return Poll::Ready(self.written.check());
        }
        self.written.poll_flush(&mut self.stream, cx)
    }

    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.written.poll_flush(&mut self.stream, cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    pub(crate) fn begin_turn(&mut self) {
        self.is_in_turn = true;
    }

    /// Writes what there is, or lets the task be woken when it is time. `is_over` is whether there is no other turn.
    pub(crate) fn end_turn(&mut self, cx: &mut Context<'_>, is_over: bool) {
        self.is_in_turn = false;
        if !self.written.is_pending() {
            self.is_stalled = false;
            return self.deferral.cancel();
        }
        if !is_over && !self.is_stalled && self.deferral.is_deferred(self.written.len(), cx) {
            return;
        }
        let flushed = self.written.poll_flush(&mut self.stream, cx);
        self.is_stalled = flushed.is_pending();
        self.deferral.cancel();
        if let Poll::Ready(Err(_)) = flushed {
            // It is kept, and returned to the connection that is polled once more.
            cx.waker().wake_by_ref();
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> State<T> {
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.read {
            Some(read) => read.poll_read(&mut self.stream, cx, into),
            None => Pin::new(&mut self.stream).poll_read(cx, into),
        }
    }
}

impl<T: AsyncWrite + Unpin> Drop for State<T> {
    /// Writes what waits for other tasks, as far as the stream takes it at once: a connection may be dropped without an end.
    fn drop(&mut self) {
        if self.written.len() > 0 {
            let _ = self.written.poll_flush(&mut self.stream, &mut Context::from_waker(Waker::noop()));
        }
    }
}
