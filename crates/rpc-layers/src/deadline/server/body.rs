//! Ends a reply that is still being sent when the deadline passes.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use pin_project_lite::pin_project;
use tonic::{Status, body::Body};

use super::{super::timer::Timer, request_limit::RequestLimit};

pin_project! {
    /// A reply's body until the deadline, then the trailers of `DEADLINE_EXCEEDED`.
    pub(super) struct ServerDeadlineBody {
        // `None` after the deadline.
        inner: Option<Body>,
        #[pin]
        timer: Timer,
        limit: RequestLimit,
    }
}

// === impl ServerDeadlineBody ===

impl ServerDeadlineBody {
    /// Bounds `body`. A body that has ended is returned unchanged.
    pub(super) fn bound(body: Body, limit: RequestLimit) -> Body {
        if body.is_end_stream() {
            return body;
        }
        Body::new(Self { inner: Some(body), timer: Timer::new(limit.deadline), limit })
    }
}

impl http_body::Body for ServerDeadlineBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.project();
        let Some(inner) = this.inner else { return Poll::Ready(None) };
        match Pin::new(inner).poll_frame(cx) {
            // Trailers, errors and the end carry the status, and pass even if they are late. A stream that always has a
            // message ready has to end too.
            Poll::Ready(Some(Ok(frame))) if frame.is_data() && this.limit.deadline.is_past() => {}
            Poll::Ready(frame) => return Poll::Ready(frame),
            Poll::Pending if this.timer.poll_expired(cx).is_pending() => return Poll::Pending,
            Poll::Pending => {}
        }
        // Drops the producer of the stream now, not when the connection drops this body.
        *this.inner = None;
        let mut trailers = HeaderMap::with_capacity(2);
        Poll::Ready(Some(this.limit.exceeded().add_header(&mut trailers).map(|()| Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        // An exact size would be sent as `content-length`, which a reply that is cut short would break.
        SizeHint::default()
    }
}
