//! Reads requests to their end, also if the service does not.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
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
    inner: Option<Incoming>,
    calls: Arc<Calls>,
}

// === impl RequestBody ===

impl RequestBody {
    pub(super) fn new(inner: Incoming, calls: Arc<Calls>) -> Self {
        Self { inner: Some(inner), calls }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(inner).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => self.calls.receive(frame.data_ref().map_or(0, Bytes::len)),
            Some(Err(_)) | None => self.inner = None,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        let Some(inner) = self.inner.take().filter(|inner| !inner.is_end_stream()) else { return };
        let mut rest = Rest { inner, bytes: 0 };
        // Most have arrived, or were reset by their caller.
        if Pin::new(&mut rest).poll(&mut Context::from_waker(Waker::noop())).is_pending()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(timeout(TIMEOUT, rest));
        }
    }
}

/// Reads the rest of a body. Ends with it, or when it is too large.
struct Rest {
    inner: Incoming,
    bytes: usize,
}

impl Future for Rest {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(Ok(frame)) = ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
            self.bytes += frame.data_ref().map_or(0, Bytes::len);
            if self.bytes > MAX_BYTES {
                break;
            }
        }
        Poll::Ready(())
    }
}
