//! Polls a connection, and then writes what it has to write.

use std::task::{Context, Poll};

use tokio::io::AsyncWrite;

use crate::shared::Shared;

/// Polls a connection in turns, and writes what has gathered in its [`CoalescedIo`](crate::CoalescedIo) at their end.
#[derive(Debug)]
pub struct Flusher<T: AsyncWrite + Unpin>(Shared<T>);

// === impl Flusher ===

impl<T: AsyncWrite + Unpin> Flusher<T> {
    pub(crate) fn new(shared: Shared<T>) -> Self {
        Self(shared)
    }

    /// Polls the connection, and writes what it has written.
    ///
    /// If other tasks that are ready may have something to add, writes later: the task is woken when they have run. What
    /// the peer does not take is written as soon as it does, which wakes the task too. So the task has to poll the
    /// connection, with this, whenever it is woken. After the connection has ended, there is nothing left to do: it has shut its
    /// stream down, or failed.
    pub fn poll_turn<R>(
        &mut self,
        cx: &mut Context<'_>,
        connection: impl FnOnce(&mut Context<'_>) -> Poll<R>,
    ) -> Poll<R> {
        self.begin_turn();
        let polled = connection(cx);
        self.end_turn(cx, polled.is_ready());
        polled
    }

    /// Begins a turn, as [`Self::poll_turn`] does: what is written from now on stays in the buffer.
    pub fn begin_turn(&mut self) {
        self.0.lock().begin_turn();
    }

    /// Ends a turn, as [`Self::poll_turn`] does. `is_over` is whether the connection has ended. The waker has to be the one
    /// with which the connection was polled: a stream knows one for its writes.
    pub fn end_turn(&mut self, cx: &mut Context<'_>, is_over: bool) {
        self.0.lock().end_turn(cx, is_over);
    }
}
