//! Reads requests to their end, also if the service does not.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::Bytes;
use h2::{Reason, RecvStream};
use http_body::{Body, Frame, SizeHint};
use tokio::{runtime::Handle, time::timeout};

use super::calls::Calls;

/// How long the rest of a request is waited for.
const TIMEOUT: Duration = Duration::from_secs(1);

/// How much of it is read, in bytes.
const MAX_BYTES: usize = 64 << 10;

/// The body of a request, whose bytes are counted when they are received. If it is dropped early, its rest is read and discarded for a moment.
///
/// Without that, a reply to the headers alone, such as a rejection, makes h2 reset the call. h2 soon forgets such a
/// call, takes the message that arrives then for an error, and closes the connection after too many of them: a burst
/// that is rejected would cost its caller the calls that are not.
#[derive(Debug)]
pub(super) struct RequestBody {
    /// `None` if it was read to its end.
    stream: Option<RecvStream>,
    calls: Arc<Calls>,
}

// === impl RequestBody ===

impl RequestBody {
    pub(super) fn new(stream: RecvStream, calls: Arc<Calls>) -> Self {
        Self { stream: Some(stream), calls }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(None) };
        let frame = match ready!(poll_data(stream, cx)) {
            Some(data) => Some(data.map(Frame::data)),
            None => ready!(stream.poll_trailers(cx)).map(|trailers| trailers.map(Frame::trailers)).transpose(),
        };
        match &frame {
            Some(Ok(frame)) => self.calls.receive(frame.data_ref().map_or(0, Bytes::len)),
            Some(Err(_)) | None => self.stream = None,
        }
        // A peer that resets a call like that has said all there is.
        Poll::Ready(frame.filter(|frame| !matches!(frame, Err(error) if error.reason() == Some(Reason::NO_ERROR))))
    }

    fn is_end_stream(&self) -> bool {
        self.stream.as_ref().is_none_or(RecvStream::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_end_stream() { SizeHint::with_exact(0) } else { SizeHint::default() }
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        let Some(stream) = self.stream.take().filter(|stream| !stream.is_end_stream()) else { return };
        let mut rest = Rest { stream, bytes: 0 };
        // Most have arrived, or were reset by their caller.
        if Pin::new(&mut rest).poll(&mut Context::from_waker(Waker::noop())).is_pending()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(timeout(TIMEOUT, rest));
        }
    }
}

/// Receives data, and makes room for more of it.
fn poll_data(stream: &mut RecvStream, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, h2::Error>>> {
    let data = ready!(stream.poll_data(cx));
    if let Some(Ok(data)) = &data {
        // Fails for a stream that has ended, which needs no room.
        let _ = stream.flow_control().release_capacity(data.len());
    }
    Poll::Ready(data)
}

/// Reads the rest of a body. Ends with it, or when it is too large.
struct Rest {
    stream: RecvStream,
    bytes: usize,
}

impl Future for Rest {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(Ok(data)) = ready!(poll_data(&mut self.stream, cx)) {
            self.bytes += data.len();
            if self.bytes > MAX_BYTES {
                return Poll::Ready(());
            }
        }
        // Trailers have no length to speak of.
        self.stream.poll_trailers(cx).map(|_| ())
    }
}
