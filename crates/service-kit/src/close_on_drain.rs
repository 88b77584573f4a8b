//! Ends endless streams when the process drains.
//!
//! A client that watches the server's health, or keeps a reflection stream open, would otherwise keep a process with
//! nothing left to do alive until its drain times out.

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

use crate::connections::end_with_drain;

/// Ends the replies of a service with `UNAVAILABLE` when the drain starts, after the messages that are ready then. A reply that
/// is not read is reset a moment later.
#[derive(Clone, Debug)]
pub(crate) struct CloseOnDrain<S> {
    inner: S,
    drain: CancellationToken,
}

pin_project! {
    /// The response future of [`CloseOnDrain`].
    pub(crate) struct CloseOnDrainFuture<F> {
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
    /// Wraps `inner`, whose replies end when `drain` is cancelled.
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
    type Future = CloseOnDrainFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        CloseOnDrainFuture { inner: self.inner.call(request), drain: self.drain.clone() }
    }
}

// === impl CloseOnDrainFuture ===

impl<F> Future for CloseOnDrainFuture<F>
where
    F: Future<Output = Result<Response<Body>, Infallible>>,
{
    type Output = Result<Response<Body>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        end_with_drain(this.drain);
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
        // Messages that are ready go first, such as the health change to `NOT_SERVING`.
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
