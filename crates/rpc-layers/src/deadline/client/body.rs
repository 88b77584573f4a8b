//! Ends a reply that is still being read when its deadline passes.

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
    Grant,
    expiry::{cancelled_to_exceeded, exceeded, is_due, normalise, tells_status},
};

pin_project! {
    /// A reply's body; from the deadline on its error is `DEADLINE_EXCEEDED`.
    #[derive(Debug)]
    pub struct BoundBody<B> {
        // `None` once the deadline has cut it
        #[pin]
        inner: Option<B>,
        #[pin]
        timer: Option<Timer>,
        grant: Option<Grant>,
        status_told: bool,
    }
}

// === impl BoundBody ===

impl<B> BoundBody<B> {
    /// `status_told`: the reply's headers hold the outcome already.
    pub(super) fn new(inner: B, grant: Option<Grant>, status_told: bool) -> Self {
        Self { inner: Some(inner), timer: grant.map(|grant| Timer::new(grant.deadline)), grant, status_told }
    }
}

impl<B> Body for BoundBody<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Data = B::Data;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, Status>>> {
        let mut this = self.project();
        let grant = *this.grant;
        let Some(inner) = this.inner.as_mut().as_pin_mut() else { return Poll::Ready(None) };
        match inner.poll_frame(cx) {
            // a stream of messages that never makes us wait must end too
            Poll::Ready(Some(Ok(frame))) if frame.is_data() && grant.is_some_and(|grant| grant.deadline.is_past()) => {}
            Poll::Ready(Some(Ok(mut frame))) => {
                if let Some(trailers) = frame.trailers_mut() {
                    cancelled_to_exceeded(trailers, grant);
                    *this.status_told |= tells_status(trailers);
                }
                return Poll::Ready(Some(Ok(frame)));
            }
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(normalise(error.into(), grant)))),
            // hyper reads a reset by the peer as an end; without a status it is no outcome
            Poll::Ready(None) if *this.status_told || !is_due(grant) => return Poll::Ready(None),
            Poll::Ready(None) => {}
            Poll::Pending => {
                let Some(timer) = this.timer.as_pin_mut() else { return Poll::Pending };
                ready!(timer.poll_expired(cx));
            }
        }
        // what is late is reset at the peer now, not when the caller gets round to dropping this body
        this.inner.set(None);
        Poll::Ready(Some(Err(exceeded(grant))))
    }

    fn is_end_stream(&self) -> bool {
        // an end without a status may yet turn out to be the deadline's, as long as it is polled for
        let open = self.grant.is_some() && !self.status_told;
        self.inner.as_ref().is_none_or(|inner| !open && inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}
