//! A request's body that has to be one message.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tonic::{Status, body::Body};

/// How many bytes stand before a message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// Passes a body on as long as it may be one message in gRPC's framing, and fails with `INVALID_ARGUMENT` otherwise.
#[derive(Debug)]
pub(super) struct OneMessage {
    inner: Body,
    framing: Framing,
    is_over: bool,
}

/// How much of a message has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Framing {
    prefix: [u8; PREFIX],
    /// How many bytes of the prefix have been read.
    read: usize,
    /// How many bytes of the message are missing, once the prefix has been read.
    missing: usize,
    /// Whether the message may be compressed.
    is_compressed: bool,
}

// === impl OneMessage ===

impl OneMessage {
    pub(super) fn new(inner: Body, is_compressed: bool) -> Self {
        Self { inner, framing: Framing::new(is_compressed), is_over: false }
    }
}

impl http_body::Body for OneMessage {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        let checked = match &frame {
            Some(Ok(frame)) => match frame.data_ref() {
                Some(data) => self.framing.read(data),
                None => self.framing.end(),
            },
            Some(Err(_)) => Ok(()),
            None => self.framing.end(),
        };
        self.is_over = frame.is_none() || checked.is_err();
        Poll::Ready(match checked {
            Ok(()) => frame,
            Err(why) => Some(Err(Status::invalid_argument(why))),
        })
    }

    /// Returns whether nothing is left to read or to find wrong.
    fn is_end_stream(&self) -> bool {
        self.is_over || (self.inner.is_end_stream() && self.framing.end().is_ok())
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

// === impl Framing ===

impl Framing {
    pub(super) fn new(is_compressed: bool) -> Self {
        Self { prefix: [0; PREFIX], read: 0, missing: 0, is_compressed }
    }

    /// Reads the next part of the body.
    ///
    /// # Errors
    ///
    /// Returns what is wrong with it.
    pub(super) fn read(&mut self, data: &[u8]) -> Result<(), &'static str> {
        let (prefix, message) = data.split_at(data.len().min(PREFIX - self.read));
        if !prefix.is_empty() {
            self.prefix[self.read..][..prefix.len()].copy_from_slice(prefix);
            self.read += prefix.len();
            let [flag, length @ ..] = self.prefix;
            match flag {
                0 => {}
                1 if self.is_compressed => {}
                1 => return Err("the request's message is compressed, but grpc-encoding names no compression"),
                _ => return Err("the request's message does not begin with gRPC's prefix"),
            }
            if self.read == PREFIX {
                self.missing = u32::from_be_bytes(length) as usize;
            }
        }
        match self.missing.checked_sub(message.len()) {
            Some(missing) => self.missing = missing,
            None => return Err("the request has more than one message, but the method takes one"),
        }
        Ok(())
    }

    /// Checks that the body may end here.
    ///
    /// # Errors
    ///
    /// Returns what is missing.
    pub(super) fn end(&self) -> Result<(), &'static str> {
        match self.read {
            0 => Err("the request has no message, but the method takes one"),
            PREFIX if self.missing == 0 => Ok(()),
            _ => Err("the request ended before its message did"),
        }
    }
}
