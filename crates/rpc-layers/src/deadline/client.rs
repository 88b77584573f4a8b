//! Holds a call to a deadline, from waiting for a connection to the last byte of the reply.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tonic::Status;
use tower::{BoxError, Layer, Service};

use self::{
    body::BoundBody,
    expiry::{cancelled_to_exceeded, exceeded, normalise, tells_status},
};
use super::{Deadline, GRPC_TIMEOUT, grpc_timeout, timer::Timer};

mod body;
mod expiry;
#[cfg(test)]
mod tests;

/// Holds each call to the [`Deadline`] in its request's extensions, and tells the peer through `grpc-timeout` what is left.
///
/// - Without a deadline a call passes on unchanged.
/// - With one that is past, the answer is `DEADLINE_EXCEEDED` and the inner service is neither called nor asked whether it is ready.
/// - Otherwise waiting for the inner service's readiness (a channel's buffer), connecting, the call and the reading of the reply's body
///   all count. A `grpc-timeout` that the request has already is kept where it is the shorter, and then it is the deadline.
/// - Whatever else says that the time is up says the same: tonic's `TimeoutExpired` anywhere in an error's source chain, and a CANCELLED
///   from the peer at the deadline, become `DEADLINE_EXCEEDED`.
///
/// Goes above the channel. The error is a [`Status`], which tonic's clients hand on as it is.
/// Dropping the future drops the call, and so resets it at the peer.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClientDeadlineLayer;

/// The service of [`ClientDeadlineLayer`].
#[derive(Clone, Debug)]
pub struct ClientDeadline<S> {
    inner: S,
}

/// A call's deadline, with the time it had when it was made, for messages.
#[derive(Clone, Copy, Debug)]
struct Grant {
    deadline: Deadline,
    had: Duration,
}

pin_project! {
    /// The answer of [`ClientDeadline`].
    pub struct ResponseFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S, B, S::Future>,
        #[pin]
        timer: Option<Timer>,
        grant: Option<Grant>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, B, F> {
        // boxed, because a call spends most of its time in the next state, and thousands of them do at once
        Waiting { waiting: Option<Box<(S, Request<B>)>> },
        Calling { #[pin] call: F },
        // refused before it began, or ended
        Over,
    }
}

// === impl ClientDeadlineLayer ===

impl ClientDeadlineLayer {
    /// The layer has no settings: the deadline comes with each request.
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
    type Response = Response<BoundBody<R>>;
    type Error = Status;
    type Future = ResponseFuture<S, B>;

    /// Always ready: waiting for the inner service belongs to the call, because only the call has a deadline.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let grant = Grant::of(&request);
        let state = if grant.is_some_and(|grant| grant.had.is_zero()) {
            State::Over
        } else {
            State::Waiting { waiting: Some(Box::new((self.inner.clone(), request))) }
        };
        ResponseFuture { state, timer: grant.map(|grant| Timer::new(grant.deadline)), grant }
    }
}

// === impl ResponseFuture ===

impl<S, B, R> Future for ResponseFuture<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Into<BoxError>,
{
    type Output = Result<Response<BoundBody<R>>, Status>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let answer = match this.state.as_mut().poll_call(cx, *this.grant) {
            Poll::Ready(answer) => answer,
            Poll::Pending => {
                let Some(timer) = this.timer.as_pin_mut() else { return Poll::Pending };
                ready!(timer.poll_expired(cx));
                Err(exceeded(*this.grant))
            }
        };
        // a call that is late is reset at the peer now, not when the caller gets round to dropping this future
        this.state.set(State::Over);
        Poll::Ready(answer)
    }
}

// === impl State ===

impl<S, B, R> State<S, B, S::Future>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Into<BoxError>,
{
    fn poll_call(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        grant: Option<Grant>,
    ) -> Poll<Result<Response<BoundBody<R>>, Status>> {
        loop {
            let call = match self.as_mut().project() {
                StateProj::Waiting { waiting } => {
                    let (service, _) = &mut **waiting.as_mut().expect("taken only when the state changes");
                    ready!(service.poll_ready(cx)).map_err(|error| normalise(error.into(), grant))?;
                    let (mut service, mut request) = *waiting.take().expect("it was there a line above");
                    if let Some(grant) = grant {
                        request.headers_mut().insert(GRPC_TIMEOUT, grpc_timeout::encode(grant.deadline.remaining()));
                    }
                    service.call(request)
                }
                StateProj::Calling { call } => {
                    let reply = ready!(call.poll(cx)).map_err(|error| normalise(error.into(), grant))?;
                    return Poll::Ready(Ok(bound(reply, grant)));
                }
                StateProj::Over => return Poll::Ready(Err(exceeded(grant))),
            };
            self.set(State::Calling { call });
        }
    }
}

/// Puts the reply's body under the deadline, and corrects a reply that is nothing but a late CANCELLED.
fn bound<R>(mut reply: Response<R>, grant: Option<Grant>) -> Response<BoundBody<R>> {
    cancelled_to_exceeded(reply.headers_mut(), grant);
    let status_told = tells_status(reply.headers());
    reply.map(|body| BoundBody::new(body, grant, status_told))
}

// === impl Grant ===

impl Grant {
    /// A malformed `grpc-timeout` is left for the peer to refuse, unless there is a deadline to put in its place.
    fn of<B>(request: &Request<B>) -> Option<Self> {
        let deadline = *request.extensions().get::<Deadline>()?;
        let deadline = match grpc_timeout::from_headers(request.headers()) {
            Ok(Some(shorter)) => deadline.min(Deadline::after(shorter)),
            Ok(None) | Err(_) => deadline,
        };
        Some(Self { deadline, had: deadline.remaining() })
    }
}
