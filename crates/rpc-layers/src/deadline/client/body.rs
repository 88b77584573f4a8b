//! Ends a reply that is still being read when the deadline passes.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tonic::Status;
use tower::BoxError;

use super::{
    super::timer::Timer,
    call_limit::CallLimit,
    expiry::{cancelled_to_exceeded, exceeded, has_status, is_due, normalise},
};

pin_project! {
    /// A reply's body. After the deadline its error is `DEADLINE_EXCEEDED`.
    #[derive(Debug)]
    pub struct ClientDeadlineBody<B> {
        // `None` after the deadline.
        #[pin]
        inner: Option<B>,
        #[pin]
        timer: Option<Timer>,
        limit: Option<CallLimit>,
        status_seen: bool,
    }
}

// === impl ClientDeadlineBody ===

impl<B> ClientDeadlineBody<B> {
    /// `status_seen`: the reply's headers have the status already.
    pub(super) fn new(inner: B, limit: Option<CallLimit>, status_seen: bool) -> Self {
        Self { inner: Some(inner), timer: limit.map(|limit| Timer::new(limit.deadline)), limit, status_seen }
    }
}

impl<B> Body for ClientDeadlineBody<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Data = B::Data;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, Status>>> {
        let mut this = self.project();
        let limit = *this.limit;
        let Some(inner) = this.inner.as_mut().as_pin_mut() else { return Poll::Ready(None) };
        match inner.poll_frame(cx) {
            // A stream that always has a message ready has to end too.
            Poll::Ready(Some(Ok(frame))) if frame.is_data() && limit.is_some_and(|limit| limit.deadline.is_past()) => {}
            Poll::Ready(Some(Ok(mut frame))) => {
                if let Some(trailers) = frame.trailers_mut() {
                    cancelled_to_exceeded(trailers, limit);
                    *this.status_seen |= has_status(trailers);
                }
                return Poll::Ready(Some(Ok(frame)));
            }
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(normalise(error.into(), limit)))),
            // hyper reports a reset by the peer as an end. An end without a status at the deadline is the deadline's.
            Poll::Ready(None) if *this.status_seen || !is_due(limit) => return Poll::Ready(None),
            Poll::Ready(None) => {}
            Poll::Pending => {
                let Some(timer) = this.timer.as_pin_mut() else { return Poll::Pending };
                ready!(timer.poll_expired(cx));
            }
        }
        // Resets an expired call at the peer now, not when the caller drops this body.
        this.inner.set(None);
        Poll::Ready(Some(Err(exceeded(limit))))
    }

    fn is_end_stream(&self) -> bool {
        // An end without a status may be the deadline's, which only polling shows.
        let open = self.limit.is_some() && !self.status_seen;
        self.inner.as_ref().is_none_or(|inner| !open && inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}
