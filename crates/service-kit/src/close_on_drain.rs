//! Ends streams that would go on for ever when the process drains.
//!
//! Whoever watches a server's health, or keeps a reflection stream open, would otherwise
//! hold a process that has nothing left to do until its drain times out.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body as HttpBody, Frame};
use pin_project_lite::pin_project;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::{Status, body::Body, server::NamedService};
use tower::Service;

/// A service whose replies end when the drain begins, with `UNAVAILABLE`, once they have
/// nothing more to say at that moment.
#[derive(Clone, Debug)]
pub(crate) struct CloseOnDrain<S> {
    inner: S,
    drain: CancellationToken,
}

pin_project! {
    /// The reply to come of an [`CloseOnDrain`].
    pub(crate) struct ReplyFuture<F> {
        #[pin]
        inner: F,
        drain: CancellationToken,
    }
}

pin_project! {
    struct DrainBody {
        #[pin]
        inner: Body,
        #[pin]
        drain: WaitForCancellationFutureOwned,
        ended: bool,
    }
}

// === impl CloseOnDrain ===

impl<S> CloseOnDrain<S> {
    /// Ends the replies of `inner` when `drain` is cancelled.
    pub(crate) fn new(inner: S, drain: CancellationToken) -> Self {
        Self { inner, drain }
    }
}

impl<S: NamedService> NamedService for CloseOnDrain<S> {
    const NAME: &'static str = S::NAME;
}

impl<S, B> Service<Request<B>> for CloseOnDrain<S>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = ReplyFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ReplyFuture { inner: self.inner.call(request), drain: self.drain.clone() }
    }
}

// === impl ReplyFuture ===

impl<F> Future for ReplyFuture<F>
where
    F: Future<Output = Result<Response<Body>, Infallible>>,
{
    type Output = Result<Response<Body>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Ok(reply) = ready!(this.inner.poll(cx));
        let drain = this.drain.clone().cancelled_owned();
        Poll::Ready(Ok(reply.map(|inner| Body::new(DrainBody { inner, drain, ended: false }))))
    }
}

// === impl DrainBody ===

impl HttpBody for DrainBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.project();
        if *this.ended {
            return Poll::Ready(None);
        }
        // What is there goes out first: that the server no longer serves, for one.
        if let Poll::Ready(frame) = this.inner.poll_frame(cx) {
            return Poll::Ready(frame);
        }
        ready!(this.drain.poll(cx));
        *this.ended = true;
        let mut trailers = HeaderMap::new();
        let status = Status::unavailable("the server is shutting down").add_header(&mut trailers);
        Poll::Ready(Some(status.map(|()| Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.inner.is_end_stream()
    }
}
