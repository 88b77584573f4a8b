//! Enforces the deadline of a call, from waiting for a connection to the last byte of the reply.

mod body;
mod call_limit;
mod expiry;
#[cfg(test)]
mod tests;

use std::{
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tonic::Status;
use tower::{BoxError, Layer, Service};

pub use self::body::ClientDeadlineBody;
use self::{
    call_limit::CallLimit,
    expiry::{cancelled_to_exceeded, exceeded, has_status, normalise},
};
use super::{
    grpc_timeout::{self, GRPC_TIMEOUT},
    timer::Timer,
};

/// Enforces the [`Deadline`](super::Deadline) in the extensions of each request, and sends the time left as
/// `grpc-timeout`.
///
/// - A call without a deadline passes unchanged.
/// - A call whose deadline has passed ends with `DEADLINE_EXCEEDED`; the inner service is neither polled nor called.
/// - Otherwise the deadline bounds the wait for the inner service's readiness (a channel's buffer), connecting, the
///   call, and reading the reply's body. A shorter `grpc-timeout` of the request replaces the deadline.
/// - Other signs of the same deadline have the same status: tonic's `TimeoutExpired` among the sources of an error, and
///   a CANCELLED from the peer at the deadline, become `DEADLINE_EXCEEDED`.
///
/// Goes above the channel. The error is a [`Status`], which tonic's clients return unchanged. Dropping the future drops
/// the call, which resets it at the peer.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClientDeadlineLayer;

/// The service of [`ClientDeadlineLayer`].
#[derive(Clone, Debug)]
pub struct ClientDeadline<S> {
    inner: S,
}

pin_project! {
    /// The response future of [`ClientDeadline`]. Dropping it resets the call at the peer.
    pub struct ClientDeadlineFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S, B, S::Future>,
        #[pin]
        timer: Option<Timer>,
        limit: Option<CallLimit>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, B, F> {
        // Boxed, because it is rare, and thousands of calls spend most of their time in the next state.
        Waiting { waiting: Option<Box<(S, Request<B>)>> },
        Calling { #[pin] call: F },
        // The inner service has failed.
        Failed { status: Option<Status> },
        // Expired before it was made, or finished.
        Ended,
    }
}

// === impl ClientDeadlineLayer ===

impl ClientDeadlineLayer {
    /// Creates the layer. It has no settings: each request has its own deadline.
    pub fn new() -> Self {
        Self
    }
}

impl<S> Layer<S> for ClientDeadlineLayer {
    type Service = ClientDeadline<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ClientDeadline { inner }
    }
}

// === impl ClientDeadline ===

impl<S, B, R> Service<Request<B>> for ClientDeadline<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
{
    type Response = Response<ClientDeadlineBody<R>>;
    type Error = Status;
    type Future = ClientDeadlineFuture<S, B>;

    /// Always ready: the wait for the inner service is part of the call, because only the call has a deadline.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let limit = CallLimit::of(&request);
        let state = if limit.is_some_and(|limit| limit.timeout.is_zero()) {
            State::Ended
        } else {
            State::begin(self.inner.clone(), request, limit)
        };
        ClientDeadlineFuture { state, timer: limit.map(|limit| Timer::new(limit.deadline)), limit }
    }
}

// === impl ClientDeadlineFuture ===

impl<S, B, R> Future for ClientDeadlineFuture<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Into<BoxError>,
{
    type Output = Result<Response<ClientDeadlineBody<R>>, Status>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let answer = match this.state.as_mut().poll_call(cx, *this.limit) {
            Poll::Ready(answer) => answer,
            Poll::Pending => {
                let Some(timer) = this.timer.as_pin_mut() else { return Poll::Pending };
                ready!(timer.poll_expired(cx));
                Err(exceeded(*this.limit))
            }
        };
        // Resets an expired call at the peer now, not when the caller drops this future.
        this.state.set(State::Ended);
        Poll::Ready(answer)
    }
}

// === impl State ===

impl<S, B, R> State<S, B, S::Future>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Into<BoxError>,
{
    /// Calls the service if it is ready, as nearly all are, and otherwise waits for it when it is polled.
    fn begin(mut service: S, request: Request<B>, limit: Option<CallLimit>) -> Self {
        match service.poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => Self::Calling { call: send(service, request, limit) },
            Poll::Ready(Err(error)) => Self::Failed { status: Some(normalise(error.into(), limit)) },
            Poll::Pending => Self::Waiting { waiting: Some(Box::new((service, request))) },
        }
    }

    fn poll_call(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        limit: Option<CallLimit>,
    ) -> Poll<Result<Response<ClientDeadlineBody<R>>, Status>> {
        loop {
            let call = match self.as_mut().project() {
                StateProj::Waiting { waiting } => {
                    let (service, _) = &mut **waiting.as_mut().expect("taken only when the state changes");
                    ready!(service.poll_ready(cx)).map_err(|error| normalise(error.into(), limit))?;
                    let (service, request) = *waiting.take().expect("borrowed two lines above");
                    send(service, request, limit)
                }
                StateProj::Calling { call } => {
                    let reply = ready!(call.poll(cx)).map_err(|error| normalise(error.into(), limit))?;
                    return Poll::Ready(Ok(bound(reply, limit)));
                }
                StateProj::Failed { status } => {
                    return Poll::Ready(Err(status.take().expect("not polled after completion")));
                }
                StateProj::Ended => return Poll::Ready(Err(exceeded(limit))),
            };
            self.set(State::Calling { call });
        }
    }
}

/// Calls a service that is ready, with the time that is left.
fn send<S, B>(mut service: S, mut request: Request<B>, limit: Option<CallLimit>) -> S::Future
where
    S: Service<Request<B>>,
{
    if let Some(limit) = limit {
        request.headers_mut().insert(GRPC_TIMEOUT, grpc_timeout::encode(limit.deadline.remaining()));
    }
    service.call(request)
}

/// Puts the reply's body under the deadline, and corrects the status of a late reply without a body.
fn bound<R>(mut reply: Response<R>, limit: Option<CallLimit>) -> Response<ClientDeadlineBody<R>> {
    cancelled_to_exceeded(reply.headers_mut(), limit);
    let status_seen = has_status(reply.headers());
    reply.map(|body| ClientDeadlineBody::new(body, limit, status_seen))
}
