//! Sends the reply of a call, as fast as its caller reads it.

use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::Body as _;
use rpc_layers::source;
use tonic::body::Body;

use super::reply_timeout::{Expiry, Timer};

/// The body of a reply on its way. Of what the caller has no room for, there is never more than one chunk.
pub(super) struct Reply {
    stream: SendStream<Bytes>,
    body: Body,
    /// What is left of a chunk, and is not empty.
    chunk: Option<Chunk>,
    /// Runs when the caller has no room.
    timer: Option<Timer>,
}

struct Chunk {
    data: Bytes,
    is_last: bool,
}

/// Why a reply ended early. The call is over then.
enum Ended {
    /// The stream has ended already.
    Closed,
    /// The call is to be reset.
    Reset(Reason),
}

// === impl Reply ===

impl Reply {
    pub(super) fn new(stream: SendStream<Bytes>, body: Body) -> Self {
        Self { stream, body, chunk: None, timer: None }
    }

    /// Returns `Ready` when the call has been reset, or the connection has failed.
    pub(super) fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.stream.poll_reset(cx).map(|_| ())
    }

    pub(super) fn reset(&mut self, reason: Reason) {
        self.stream.send_reset(reason);
    }

    /// Sends the reply to its end. Resets the call if its caller does not read it before `expiry`.
    pub(super) fn poll_send(&mut self, expiry: &Expiry, cx: &mut Context<'_>) -> Poll<()> {
        if let Err(Ended::Reset(reason)) = ready!(self.poll_frames(expiry, cx)) {
            self.reset(reason);
        }
        Poll::Ready(())
    }

    fn poll_frames(&mut self, expiry: &Expiry, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        loop {
            if self.chunk.is_some() && ready!(self.poll_chunk(expiry, cx))? {
                return Poll::Ready(Ok(()));
            }
            let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)) else {
                return Poll::Ready(self.send(Bytes::new(), true));
            };
            match frame.map_err(|error| Ended::Reset(reason(&error)))?.into_data() {
                Ok(data) => {
                    let is_last = self.body.is_end_stream();
                    if data.is_empty() && !is_last {
                        continue;
                    }
                    // What is asked for is in hand: it holds no room that others could use.
                    self.stream.reserve_capacity(data.len());
                    self.chunk = Some(Chunk { data, is_last });
                }
                Err(frame) => {
                    let trailers = frame.into_trailers().unwrap_or_default();
                    return Poll::Ready(self.stream.send_trailers(trailers).map_err(|_| Ended::Closed));
                }
            }
        }
    }

    /// Sends the chunk: in one piece if there is room. Returns whether it was the last one.
    fn poll_chunk(&mut self, expiry: &Expiry, cx: &mut Context<'_>) -> Poll<Result<bool, Ended>> {
        while let Some(Chunk { data, is_last }) = &mut self.chunk {
            let room = self.stream.capacity();
            if room == 0 && !data.is_empty() {
                ready!(self.poll_room(expiry, cx))?;
                continue;
            }
            let part = data.split_to(room.min(data.len()));
            let (is_whole, is_last) = (data.is_empty(), *is_last);
            self.send(part, is_whole && is_last)?;
            if is_whole {
                self.chunk = None;
                return Poll::Ready(Ok(is_last));
            }
        }
        Poll::Ready(Ok(false))
    }

    /// Waits until the caller has room.
    fn poll_room(&mut self, expiry: &Expiry, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        match self.stream.poll_capacity(cx) {
            Poll::Ready(Some(Ok(_))) => return Poll::Ready(Ok(())),
            Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(Err(Ended::Closed)),
            Poll::Pending => {}
        }
        if self.timer.is_none() {
            self.timer = expiry.timer();
        }
        let Some(timer) = &mut self.timer else { return Poll::Pending };
        ready!(timer.as_mut().poll(cx));
        tracing::debug!("a call was reset: its caller did not read the reply");
        Poll::Ready(Err(Ended::Reset(Reason::CANCEL)))
    }

    fn send(&mut self, data: Bytes, is_last: bool) -> Result<(), Ended> {
        self.stream.send_data(data, is_last).map_err(|_| Ended::Closed)
    }
}

/// Returns what a caller is told whose reply cannot go on.
fn reason(error: &(dyn Error + 'static)) -> Reason {
    source::find::<h2::Error>(error).and_then(h2::Error::reason).unwrap_or(Reason::INTERNAL_ERROR)
}
