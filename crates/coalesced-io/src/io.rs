//! The stream of a connection.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{flusher::Flusher, read_buffer::ReadBuffer, shared::Shared};

/// A stream that gathers what is written while its [`Flusher`] polls the connection that writes it. At most 64 KiB are kept;
/// then, as when the peer does not read, writing is pending.
///
/// At other times it is a buffered stream: flushing and shutting down write all there is. Dropping it with its flusher
/// writes what the stream takes at once.
///
/// # Errors
///
/// An error of a write at the end of a turn is returned to whoever writes, flushes or shuts down next, and ever after.
#[derive(Debug)]
pub struct CoalescedIo<T: AsyncWrite + Unpin>(Shared<T>);

// === impl CoalescedIo ===

impl<T: AsyncWrite + Unpin> CoalescedIo<T> {
    /// Gathers what is written to the stream.
    pub fn new(stream: T) -> (Self, Flusher<T>) {
        Self::of(Shared::new(stream, None))
    }

    /// Gathers what is written to the stream, and reads up to 64 KiB from it at once. What is read and not taken stays in
    /// memory: the peer should be one that is trusted.
    pub fn with_read_buffer(stream: T) -> (Self, Flusher<T>) {
        Self::of(Shared::new(stream, Some(ReadBuffer::default())))
    }

    fn of(shared: Shared<T>) -> (Self, Flusher<T>) {
        (Self(shared.clone()), Flusher::new(shared))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for CoalescedIo<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.lock().poll_read(cx, into)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for CoalescedIo<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.lock().poll_write(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.lock().poll_write(cx, slices)
    }

    /// Otherwise h2 copies frames of less than 1 KiB into a buffer of its own first.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.lock().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.lock().poll_shutdown(cx)
    }
}
