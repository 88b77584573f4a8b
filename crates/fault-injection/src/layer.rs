//! Makes the requests of one service slow and faulty.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures::future::BoxFuture;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tokio::{
    sync::{AcquireError, OwnedSemaphorePermit, Semaphore, TryAcquireError},
    time::Sleep,
};
use tonic::{Code, Status, body::Body, server::NamedService};
use tonic_types::{ErrorDetails, StatusExt};
use tower::{Layer, Service};
use tracing::{field, info_span};

use crate::{
    DelaySettings, Distribution, ErrorRate,
    overrides::{InvalidBaggage, Overrides},
    wait_span::WaitSpan,
};

#[cfg(test)]
mod tests;

/// Puts simulated latency and faults in front of a service, in this order:
///
/// 1. A place among those at work at once, where the capacity is limited. A request that has to wait does so in a span `queue`,
///    first come, first served, and keeps its place until its response's future has resolved.
/// 2. The delay, in a span `delay` with the attribute `fanout.delay_ms`, unless it is zero.
/// 3. The fault: UNAVAILABLE with `google.rpc.ErrorInfo`, reason `INJECTED_FAULT`, domain `fanout`.
/// 4. The service.
///
/// Where the settings allow overrides, baggage that cannot be followed is answered `INVALID_ARGUMENT` with `google.rpc.BadRequest`
/// before any of it.
///
/// The spans are made when the response's future is first polled, inside whichever span is current then; one whose wait is cut
/// short ends with `fanout.cancelled` = true. Dropping the future gives up its place and its wait at once.
/// Services that one layer wraps share its capacity.
#[derive(Clone, Debug)]
pub struct DelayLayer {
    shared: Arc<Shared>,
}

/// The service of [`DelayLayer`].
#[derive(Clone, Debug)]
pub struct Delay<S> {
    inner: S,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    settings: DelaySettings,
    places: Option<Arc<Semaphore>>,
}

pin_project! {
    /// The answer of [`Delay`].
    pub struct ResponseFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S::Future>,
        // taken when it is the service's turn
        work: Option<(S, Request<B>)>,
        delay: Distribution,
        error_rate: ErrorRate,
        shared: Arc<Shared>,
        place: Option<OwnedSemaphorePermit>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Refused { status: Option<Status> },
        Arrived,
        // boxed: its type has no name, and a request that waits can bear an allocation
        Queued { place: BoxFuture<'static, Result<OwnedSemaphorePermit, AcquireError>>, span: WaitSpan },
        Admitted,
        Delayed { #[pin] sleep: Sleep, span: WaitSpan },
        Due,
        Called { #[pin] call: F },
    }
}

// === impl DelayLayer ===

impl DelayLayer {
    /// A layer that simulates `settings`.
    pub fn new(settings: DelaySettings) -> Self {
        let places = settings.capacity.map(|capacity| Arc::new(Semaphore::new(capacity.get())));
        Self { shared: Arc::new(Shared { settings, places }) }
    }
}

impl<S> Layer<S> for DelayLayer {
    type Service = Delay<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Delay { inner, shared: Arc::clone(&self.shared) }
    }
}

// === impl Delay ===

impl<S, B> Service<Request<B>> for Delay<S>
where
    S: Service<Request<B>, Response = Response<Body>> + Clone,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = ResponseFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let settings = &self.shared.settings;
        let (state, overrides) = match settings.overrides_of(&request) {
            Ok(overrides) => (State::Arrived, overrides),
            Err(invalid) => (State::Refused { status: Some(invalid.into()) }, Overrides::default()),
        };
        // the service that said it is ready goes with the request, which calls it later
        let unready = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, unready);
        ResponseFuture {
            state,
            work: Some((ready, request)),
            delay: overrides.delay.unwrap_or(settings.delay),
            error_rate: overrides.error_rate.unwrap_or(settings.error_rate),
            shared: Arc::clone(&self.shared),
            place: None,
        }
    }
}

impl<S: NamedService> NamedService for Delay<S> {
    const NAME: &'static str = S::NAME;
}

// === impl DelaySettings ===

impl DelaySettings {
    fn overrides_of<B>(&self, request: &Request<B>) -> Result<Overrides, InvalidBaggage> {
        if self.allow_overrides {
            Overrides::from_headers(request.headers(), self.service)
        } else {
            Ok(Overrides::default())
        }
    }

    fn fault(&self) -> Status {
        let info = ErrorDetails::with_error_info(
            "INJECTED_FAULT",
            "fanout",
            [("service".to_owned(), self.service.to_owned())],
        );
        Status::with_error_details(Code::Unavailable, format!("injected fault of service {}", self.service), info)
    }
}

// === impl ResponseFuture ===

impl<S, B> Future for ResponseFuture<S, B>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Output = Result<Response<Body>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let answer = loop {
            let next = match this.state.as_mut().project() {
                StateProj::Refused { status } => {
                    break Ok(status.take().expect("not polled after it was ready").into_http());
                }
                StateProj::Arrived => queue(this.shared.places.as_ref(), this.place),
                StateProj::Queued { place, span } => {
                    let place = ready!(place.as_mut().poll(cx)).expect("the semaphore is never closed");
                    *this.place = Some(place);
                    span.complete();
                    State::Admitted
                }
                StateProj::Admitted => delay(*this.delay),
                StateProj::Delayed { sleep, span } => {
                    ready!(sleep.poll(cx));
                    span.complete();
                    State::Due
                }
                StateProj::Due if this.error_rate.strikes(&mut rand::rng()) => {
                    State::Refused { status: Some(this.shared.settings.fault()) }
                }
                StateProj::Due => {
                    let (mut service, request) = this.work.take().expect("taken only when the state changes");
                    State::Called { call: service.call(request) }
                }
                StateProj::Called { call } => break ready!(call.poll(cx)),
            };
            this.state.set(next);
        };
        // the next in the queue starts now, not when the caller gets round to dropping this future
        *this.place = None;
        Poll::Ready(answer)
    }
}

/// Takes a place where one is free, else a number in the queue. Nobody overtakes: a place that is given up goes to whoever waits longest.
fn queue<F>(places: Option<&Arc<Semaphore>>, place: &mut Option<OwnedSemaphorePermit>) -> State<F> {
    let Some(places) = places else { return State::Admitted };
    match Arc::clone(places).try_acquire_owned() {
        Ok(free) => {
            *place = Some(free);
            State::Admitted
        }
        Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => State::Queued {
            place: Box::pin(Arc::clone(places).acquire_owned()),
            span: WaitSpan::new(info_span!("queue", otel.kind = "internal", fanout.cancelled = field::Empty)),
        },
    }
}

/// Draws the request's delay and starts it.
fn delay<F>(distribution: Distribution) -> State<F> {
    let delay = distribution.sample(&mut rand::rng());
    if delay.is_zero() {
        return State::Due;
    }
    let millis = delay.as_secs_f64() * 1e3;
    let span = info_span!("delay", otel.kind = "internal", fanout.delay_ms = millis, fanout.cancelled = field::Empty);
    State::Delayed { sleep: tokio::time::sleep(delay), span: WaitSpan::new(span) }
}
