//! What was read from a stream, and is not taken yet.

use std::{
    io,
    ops::Range,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, ReadBuf};

use crate::spare::{SIZE, give_read_buffer, take_read_buffer};

/// What was read from a stream, and is not taken yet.
///
/// h2 reads into what is left of a buffer of 8 KiB, which may be a few bytes, and once more to learn that there is nothing
/// left. A read that did not fill its buffer tells tokio as much.
#[derive(Debug, Default)]
pub(crate) struct ReadBuffer {
    /// `None` if all of it is taken.
    bytes: Option<Box<[u8]>>,
    left: Range<usize>,
}

// === impl ReadBuffer ===

impl ReadBuffer {
    /// Reads from the stream as much as there is, and returns what fits into `into`.
    pub(crate) fn poll_read<T>(
        &mut self,
        stream: &mut T,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>>
    where
        T: AsyncRead + Unpin,
    {
        let bytes = match self.bytes.take() {
            Some(bytes) => bytes,
            None if into.remaining() >= SIZE => return Pin::new(stream).poll_read(cx, into),
            None => {
                let mut bytes = take_read_buffer();
                let mut read = ReadBuf::new(&mut bytes);
                let polled = Pin::new(stream).poll_read(cx, &mut read);
                self.left = 0..read.filled().len();
                if !matches!(polled, Poll::Ready(Ok(()))) {
                    give_read_buffer(bytes);
                    ready!(polled)?;
                    return Poll::Ready(Ok(()));
                }
                bytes
            }
        };
        let length = self.left.len().min(into.remaining());
        into.put_slice(&bytes[self.left.start..self.left.start + length]);
        self.left.start += length;
        if self.left.is_empty() {
            give_read_buffer(bytes);
        } else {
            self.bytes = Some(bytes);
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// A stream that has so many bytes, 0, 1, 2 and so on, and counts how often it is read.
    struct Counted {
        next: usize,
        bytes: usize,
        reads: usize,
    }

    impl AsyncRead for Counted {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            self.reads += 1;
            let end = self.bytes.min(self.next + buffer.remaining());
            #[expect(clippy::cast_possible_truncation, reason = "it is a pattern")]
            (self.next..end).for_each(|number| buffer.put_slice(&[number as u8]));
            self.next = end;
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn many_small_reads_are_one_of_the_stream() {
        let cx = &mut Context::from_waker(Waker::noop());
        let mut stream = Counted { next: 0, bytes: 40_000, reads: 0 };
        let (mut buffer, mut read) = (ReadBuffer::default(), Vec::new());
        while read.len() < 40_000 {
            let mut part = [0; 999];
            let mut part = ReadBuf::new(&mut part);
            assert!(buffer.poll_read(&mut stream, cx, &mut part).is_ready());
            read.extend_from_slice(part.filled());
        }
        #[expect(clippy::cast_possible_truncation, reason = "it is a pattern")]
        let sent: Vec<_> = (0..40_000_usize).map(|number| number as u8).collect();
        assert_eq!(read, sent);
        assert_eq!(stream.reads, 1);
        assert!(buffer.bytes.is_none(), "memory of nothing");
    }

    #[test]
    fn one_that_reads_nothing_holds_no_memory() {
        let cx = &mut Context::from_waker(Waker::noop());
        let (mut stream, peer) = tokio::io::duplex(10);
        let mut buffer = ReadBuffer::default();
        let read = |buffer: &mut ReadBuffer, stream: &mut _, cx: &mut _| {
            buffer.poll_read(stream, cx, &mut ReadBuf::new(&mut [0; 10]))
        };
        assert!(read(&mut buffer, &mut stream, cx).is_pending());
        assert!(buffer.bytes.is_none());
        drop(peer);
        assert!(read(&mut buffer, &mut stream, cx).is_ready(), "the end");
        assert!(buffer.bytes.is_none());
    }
}
