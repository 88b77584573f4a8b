//! Holds a request's permit until its reply has ended.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::permits::Permit;

pin_project! {
    /// A reply's body. Releases the request's permit when it ends or is dropped. The body of a rejected request is
    /// empty.
    #[derive(Debug)]
    pub struct LimitedBody<B> {
        // Declared first, and so dropped first: the permit is released only when the body's memory is.
        #[pin]
        inner: Option<B>,
        permit: Option<Permit>,
    }
}

// === impl LimitedBody ===

impl<B: Body> LimitedBody<B> {
    /// Holds the permit until the body ends. Releases it at once if the body has ended already.
    pub(super) fn new(inner: B, permit: Option<Permit>) -> Self {
        let permit = permit.filter(|_| !inner.is_end_stream());
        Self { inner: Some(inner), permit }
    }

    /// Returns the body of a rejected request.
    pub(super) fn empty() -> Self {
        Self::default()
    }
}

impl<B> Default for LimitedBody<B> {
    /// Returns an empty body, which has ended.
    fn default() -> Self {
        Self { inner: None, permit: None }
    }
}

impl<B: Body> Body for LimitedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let Some(inner) = this.inner.as_pin_mut() else { return Poll::Ready(None) };
        let frame = ready!(inner.poll_frame(cx));
        let more = matches!(&frame, Some(Ok(frame)) if !frame.is_trailers());
        if !more {
            *this.permit = None;
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
