//! A connection that remembers why its peer ended it.

use std::{
    io,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use grpc_tls::HandshakeError;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::gateway_client::tls_problem::TlsProblem;

/// A connection with TLS that remembers why its peer ended it. A server refuses a client's certificate after the client
/// has finished its handshake, and HTTP/2 keeps no more than the text of such an error.
#[derive(Debug)]
pub(super) struct ObservedStream<IO> {
    pub(super) inner: IO,
    /// The first problem that there was.
    pub(super) problem: Arc<OnceLock<TlsProblem>>,
}

// === impl ObservedStream ===

impl<IO: AsyncRead + Unpin> AsyncRead for ObservedStream<IO> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.inner).poll_read(cx, buffer);
        if let Poll::Ready(Err(error)) = &read
            && let Some(handshake) = error.get_ref().and_then(|inner| inner.downcast_ref::<HandshakeError>())
        {
            // Later ones follow from the first.
            let _ = self.problem.set(TlsProblem::of(handshake));
        }
        read
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for ObservedStream<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
