//! Keeps a request's place until its reply has ended.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::sync::OwnedSemaphorePermit;

pin_project! {
    /// A reply's body that gives its place up when it has ended, or is dropped. One of a refused request is empty.
    #[derive(Debug)]
    pub struct LimitedBody<B> {
        // Dropped first: the place is free when what filled it is gone.
        #[pin]
        inner: Option<B>,
        place: Option<OwnedSemaphorePermit>,
    }
}

// === impl LimitedBody ===

impl<B: Body> LimitedBody<B> {
    /// Keeps the place for as long as there is more to come.
    pub(super) fn new(inner: B, place: Option<OwnedSemaphorePermit>) -> Self {
        let place = place.filter(|_| !inner.is_end_stream());
        Self { inner: Some(inner), place }
    }

    pub(super) fn empty() -> Self {
        Self { inner: None, place: None }
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
            *this.place = None;
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
