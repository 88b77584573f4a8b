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
        self.0.lock().begin_turn();
        let polled = connection(cx);
        self.0.lock().end_turn(cx, polled.is_ready());
        polled
    }
}
