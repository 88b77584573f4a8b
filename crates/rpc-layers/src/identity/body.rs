//! The body of a reply, or none for a request that is refused.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

pin_project! {
    /// The body of a reply of [`Authenticate`](super::Authenticate). That of a request that is refused is empty.
    #[derive(Debug)]
    pub struct AuthenticatedBody<B> {
        #[pin]
        inner: Option<B>,
    }
}

// === impl AuthenticatedBody ===

impl<B> AuthenticatedBody<B> {
    pub(super) fn new(inner: B) -> Self {
        Self { inner: Some(inner) }
    }

    pub(super) fn empty() -> Self {
        Self { inner: None }
    }
}

impl<B: Body> Body for AuthenticatedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().inner.as_pin_mut().map_or(Poll::Ready(None), |inner| inner.poll_frame(cx))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}
