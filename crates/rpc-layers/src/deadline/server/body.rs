//! Ends a reply that is still being sent when its deadline passes.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use pin_project_lite::pin_project;
use tonic::{Status, body::Body};

use super::{super::timer::Timer, Limit};

pin_project! {
    /// A reply's body up to its deadline, then the trailers of `DEADLINE_EXCEEDED`.
    pub(super) struct ReplyBody {
        // `None` once the deadline has cut it
        inner: Option<Body>,
        #[pin]
        timer: Timer,
        limit: Limit,
    }
}

// === impl ReplyBody ===

impl ReplyBody {
    /// Bounds `body`; one that has nothing more to send is left as it is.
    pub(super) fn bound(body: Body, limit: Limit) -> Body {
        if body.is_end_stream() {
            return body;
        }
        Body::new(Self { inner: Some(body), timer: Timer::new(limit.deadline), limit })
    }
}

impl http_body::Body for ReplyBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.project();
        let Some(inner) = this.inner else { return Poll::Ready(None) };
        match Pin::new(inner).poll_frame(cx) {
            // trailers, an error and the end tell how the call went, late or not; a stream of messages that never makes us wait must end too
            Poll::Ready(Some(Ok(frame))) if frame.is_data() && this.limit.deadline.is_past() => {}
            Poll::Ready(frame) => return Poll::Ready(frame),
            Poll::Pending if this.timer.poll_expired(cx).is_pending() => return Poll::Pending,
            Poll::Pending => {}
        }
        // the producer of the stream ends now, not when the connection gets round to dropping this body
        *this.inner = None;
        let mut trailers = HeaderMap::with_capacity(2);
        Poll::Ready(Some(this.limit.exceeded().add_header(&mut trailers).map(|()| Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        // an exact size would be sent as `content-length`, a promise that a cut breaks
        SizeHint::default()
    }
}
