//! Reads a request's body ahead.

use std::{
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http_body::{Body as _, Frame, SizeHint};
use tonic::{Status, body::Body};

use super::memory_quota::RequestMemory;

/// How much of a body is read ahead, in bytes: a frame of HTTP/2 as large as they are by default.
const MAX_BYTES: usize = 16 << 10;

/// A body, and what of it has arrived.
#[derive(Debug)]
pub(super) struct Receive {
    inner: Body,
    data: Data,
    end: Option<End>,
    memory: RequestMemory,
}

/// The data of a body that has arrived.
#[derive(Debug)]
enum Data {
    /// A frame as it arrived.
    Frame(Bytes),
    /// A copy of one or more frames.
    Copy(BytesMut),
}

/// The end of a body.
#[derive(Debug)]
enum End {
    /// With trailers or an error.
    Last(Result<Frame<Bytes>, Status>),
    /// Without.
    None,
}

/// A body whose beginning has been read ahead.
#[derive(Debug)]
struct ReadAhead {
    data: Bytes,
    end: Option<End>,
    inner: Body,
    memory: RequestMemory,
}

// === impl Receive ===

impl Receive {
    pub(super) fn new(inner: Body, memory: RequestMemory) -> Self {
        Self { inner, data: Data::Frame(Bytes::new()), end: None, memory }
    }

    /// Returns `Ready` when the body has arrived, or as much of it as is read ahead.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.is_unfinished() && self.data.len() < MAX_BYTES {
            let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) else {
                // A frame, however small, keeps the connection's whole read buffer in memory.
                self.data.copy();
                return if self.count_memory().is_ok() { Poll::Pending } else { Poll::Ready(()) };
            };
            match frame {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.data.append(data),
                    Err(trailers) => self.end = Some(End::Last(Ok(trailers))),
                },
                Some(Err(status)) => self.end = Some(End::Last(Err(status))),
                None => self.end = Some(End::None),
            }
        }
        // What has arrived whole, as nearly all has, is gone in a moment.
        if self.is_unfinished() {
            let _ = self.count_memory();
        }
        Poll::Ready(())
    }

    fn is_unfinished(&self) -> bool {
        self.end.is_none() && !self.inner.is_end_stream()
    }

    /// Counts what has arrived. If that is too much, the body ends with an error in place of it.
    fn count_memory(&mut self) -> Result<(), ()> {
        self.memory.grow_to(self.data.len()).map_err(|status| {
            self.data = Data::Frame(Bytes::new());
            self.end = Some(End::Last(Err(status)));
        })
    }

    /// Returns the whole body, with what has been read ahead.
    pub(super) fn into_body(self) -> Body {
        let data = match self.data {
            Data::Frame(frame) => frame,
            Data::Copy(copy) => copy.freeze(),
        };
        Body::new(ReadAhead { data, end: self.end, inner: self.inner, memory: self.memory })
    }
}

// === impl Data ===

impl Data {
    fn len(&self) -> usize {
        match self {
            Self::Frame(frame) => frame.len(),
            Self::Copy(copy) => copy.len(),
        }
    }

    fn append(&mut self, data: Bytes) {
        match self {
            Self::Frame(first) if first.is_empty() => *first = data,
            Self::Frame(_) => {
                self.copy();
                self.append(data);
            }
            Self::Copy(copy) => copy.extend_from_slice(&data),
        }
    }

    fn copy(&mut self) {
        if let Self::Frame(frame) = self
            && !frame.is_empty()
        {
            *self = Self::Copy(BytesMut::from(&*mem::take(frame)));
        }
    }
}

// === impl ReadAhead ===

impl http_body::Body for ReadAhead {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if !self.data.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(mem::take(&mut self.data)))));
        }
        match &mut self.end {
            None => {
                let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
                let arrived = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref().map(Bytes::len));
                if let Err(status) = self.memory.add(arrived.unwrap_or_default()) {
                    (self.end, self.inner) = (Some(End::None), Body::empty());
                    return Poll::Ready(Some(Err(status)));
                }
                Poll::Ready(frame)
            }
            Some(end) => match mem::replace(end, End::None) {
                End::Last(last) => Poll::Ready(Some(last)),
                End::None => Poll::Ready(None),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_empty()
            && match &self.end {
                None => self.inner.is_end_stream(),
                Some(end) => matches!(end, End::None),
            }
    }

    fn size_hint(&self) -> SizeHint {
        let read = self.data.len() as u64;
        if self.end.is_some() || self.inner.is_end_stream() {
            return SizeHint::with_exact(read);
        }
        let mut hint = self.inner.size_hint();
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper.saturating_add(read));
        }
        hint.set_lower(hint.lower().saturating_add(read));
        hint
    }
}
