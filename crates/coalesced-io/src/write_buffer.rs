//! What is to be written to a stream.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::AsyncWrite;

use crate::spare::{SIZE, give_write_buffer, take_write_buffer};

/// How much memory a buffer has at least, in bytes.
const MIN_CAPACITY: usize = 4 << 10;

/// What is to be written to a stream: at most [`SIZE`] bytes.
#[derive(Debug, Default)]
pub(crate) struct WriteBuffer {
    bytes: Vec<u8>,
    /// How many of the bytes are written.
    written: usize,
    /// Whether the stream may have bytes that it has not sent, as that of TLS.
    is_unflushed: bool,
    /// Why the stream cannot be written any longer.
    error: Option<io::Error>,
}

// === impl WriteBuffer ===

impl WriteBuffer {
    /// Returns how many bytes are there.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.written
    }

    /// Returns whether there is anything to write, or to flush.
    pub(crate) fn is_pending(&self) -> bool {
        self.len() > 0 || self.is_unflushed
    }

    /// Returns an error if the stream has failed.
    pub(crate) fn check(&self) -> io::Result<()> {
        self.error.as_ref().map_or(Ok(()), |error| Err(copy(error)))
    }

    /// Adds the slices. Those that do not fit are added when the stream has taken what is there; those that never fit are
    /// passed on to the stream.
    pub(crate) fn poll_add<T>(
        &mut self,
        stream: &mut T,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>>
    where
        T: AsyncWrite + Unpin,
    {
        self.check()?;
        let length = slices.iter().map(|slice| slice.len()).sum();
        if self.len() + length > SIZE {
            ready!(self.poll_write(stream, cx))?;
            if length > SIZE {
                let written = ready!(Pin::new(stream).poll_write_vectored(cx, slices));
                self.is_unflushed = true;
                return Poll::Ready(written.map_err(|error| self.fail(error)));
            }
        }
        self.reserve(length);
        for slice in slices {
            self.bytes.extend_from_slice(slice);
        }
        Poll::Ready(Ok(length))
    }

    /// Writes all there is, and flushes the stream.
    pub(crate) fn poll_flush<T: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut T,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_write(stream, cx))?;
        if self.is_unflushed {
            ready!(Pin::new(stream).poll_flush(cx)).map_err(|error| self.fail(error))?;
            self.is_unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes all there is.
    fn poll_write<T: AsyncWrite + Unpin>(&mut self, stream: &mut T, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        while self.len() > 0 {
            match ready!(Pin::new(&mut *stream).poll_write(cx, &self.bytes[self.written..])) {
                Ok(0) => return Poll::Ready(Err(self.fail(io::ErrorKind::WriteZero.into()))),
                Ok(written) => self.written += written,
                Err(error) => return Poll::Ready(Err(self.fail(error))),
            }
            self.is_unflushed = true;
        }
        self.give_back();
        Poll::Ready(Ok(()))
    }

    /// Makes room for bytes that fit: the memory never exceeds [`SIZE`].
    fn reserve(&mut self, more: usize) {
        if self.bytes.capacity() - self.bytes.len() >= more {
            return;
        }
        self.bytes.drain(..self.written);
        self.written = 0;
        if self.bytes.is_empty() && self.bytes.capacity() == 0 {
            self.bytes = take_write_buffer();
        }
        let length = self.bytes.len() + more;
        if length > self.bytes.capacity() {
            let capacity = length.next_power_of_two().clamp(MIN_CAPACITY, SIZE);
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
    }

    /// Gives the memory back.
    fn give_back(&mut self) {
        self.written = 0;
        let bytes = std::mem::take(&mut self.bytes);
        if bytes.capacity() > 0 {
            give_write_buffer(bytes);
        }
    }

    /// Keeps the error for all who write later. What is there cannot be written any more.
    fn fail(&mut self, error: io::Error) -> io::Error {
        self.give_back();
        self.is_unflushed = false;
        self.error = Some(copy(&error));
        error
    }
}

/// Returns an error of the same kind with the same text.
fn copy(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None if error.get_ref().is_none() => error.kind().into(),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn add(buffer: &mut WriteBuffer, stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> Poll<usize> {
        let cx = &mut Context::from_waker(Waker::noop());
        buffer.poll_add(stream, cx, &[IoSlice::new(bytes)]).map(Result::unwrap)
    }

    #[test]
    fn its_memory_is_bounded_and_an_empty_one_has_none() {
        let cx = &mut Context::from_waker(Waker::noop());
        let (mut stream, mut peer) = tokio::io::duplex(1000);
        let mut buffer = WriteBuffer::default();
        let mut added = 0;
        while let Poll::Ready(length) = add(&mut buffer, &mut stream, &[7; 777]) {
            added += length;
        }
        assert!(buffer.poll_flush(&mut stream, cx).is_pending());
        assert!(added > SIZE - 777, "{added}");
        assert!(buffer.bytes.capacity() <= SIZE);
        let (mut read, mut taken) = ([0; 4096], 0);
        while taken < added {
            let _ = buffer.poll_flush(&mut stream, cx).map(Result::unwrap);
            let mut part = tokio::io::ReadBuf::new(&mut read);
            assert!(tokio::io::AsyncRead::poll_read(Pin::new(&mut peer), cx, &mut part).is_ready());
            taken += part.filled().len();
        }
        assert!(buffer.poll_flush(&mut stream, cx).is_ready());
        assert_eq!(buffer.bytes.capacity(), 0);
        assert!(!buffer.is_pending());
    }

    #[test]
    fn a_small_reply_takes_little_memory() {
        let mut buffer = WriteBuffer::default();
        assert!(add(&mut buffer, &mut tokio::io::sink(), &[7; 100]).is_ready());
        assert_eq!(buffer.bytes.capacity(), MIN_CAPACITY);
    }

    #[test]
    fn a_copy_of_an_error_says_the_same() {
        for error in [
            io::Error::from_raw_os_error(32),
            io::ErrorKind::ConnectionReset.into(),
            io::Error::other("the key has expired"),
        ] {
            let copy = copy(&error);
            assert_eq!(copy.kind(), error.kind());
            assert_eq!(copy.to_string(), error.to_string());
        }
    }
}
