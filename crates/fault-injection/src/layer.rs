//! Makes the requests of a service slow and faulty.

#[cfg(test)]
mod tests;

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures::future::BoxFuture;
use http::{Request, Response};
use pin_project_lite::pin_project;
use rpc_layers::blame;
use tokio::{
    sync::{AcquireError, OwnedSemaphorePermit, Semaphore, TryAcquireError},
    time::Sleep,
};
use tonic::{Code, Status, body::Body, server::NamedService};
use tonic_types::{ErrorDetails, StatusExt};
use tower::{Layer, Service};
use tracing::{field, info_span};

use crate::{
    baggage::InvalidBaggage, distribution::Distribution, error_rate::ErrorRate, overrides::Overrides,
    settings::DelaySettings, wait_span::WaitSpan,
};

/// Simulates latency and faults in front of a service, in this order:
///
/// 1. Waits for a permit if the capacity is limited, in a span `queue`, first in, first out. The permit is held until
///    the response future has resolved.
/// 2. Waits for the delay, in a span `delay` with the attribute `fanout.delay_ms`, unless it is zero.
/// 3. Fails a share of the requests: UNAVAILABLE with `google.rpc.ErrorInfo`, reason `INJECTED_FAULT`, domain `fanout`. If
///    the request set the share, the failure is marked as its [caller's making](rpc_layers::blame).
/// 4. Calls the service.
///
/// If the settings allow overrides, invalid baggage is rejected before all of this with `INVALID_ARGUMENT` and
/// `google.rpc.BadRequest`.
///
/// The spans are created when the response future is polled, inside the current span; a wait that is cut short ends its
/// span with `fanout.cancelled` = true. Dropping the future releases the permit and ends the wait at once. All services
/// of one layer share its capacity.
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
    permits: Option<Arc<Semaphore>>,
}

pin_project! {
    /// The response future of [`Delay`]. Dropping it releases the permit and drops the call.
    pub struct DelayFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S::Future>,
        // Taken when the service is called.
        work: Option<(S, Request<B>)>,
        delay: Distribution,
        error_rate: ErrorRate,
        // Whether the request set the error rate.
        is_requested: bool,
        shared: Arc<Shared>,
        permit: Option<OwnedSemaphorePermit>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Rejected { status: Option<Status> },
        Arrived,
        // Boxed: its type has no name, and only requests that wait allocate.
        Queued { permit: BoxFuture<'static, Result<OwnedSemaphorePermit, AcquireError>>, span: WaitSpan },
        Admitted,
        Delayed { #[pin] sleep: Sleep, span: WaitSpan },
        Due,
        Called { #[pin] call: F },
    }
}

// === impl DelayLayer ===

impl DelayLayer {
    /// Creates a layer that simulates `settings`.
    pub fn new(settings: DelaySettings) -> Self {
        let permits = settings.capacity.map(|capacity| Arc::new(Semaphore::new(capacity.get())));
        Self { shared: Arc::new(Shared { settings, permits }) }
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
    type Future = DelayFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let settings = &self.shared.settings;
        let (state, overrides) = match overrides_of(settings, &request) {
            Ok(overrides) => (State::Arrived, overrides),
            Err(invalid) => (State::Rejected { status: Some(invalid.into()) }, Overrides::default()),
        };
        // The service that was polled ready goes with the request, which calls it later.
        let unready = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, unready);
        DelayFuture {
            state,
            work: Some((ready, request)),
            delay: overrides.delay.unwrap_or(settings.delay),
            error_rate: overrides.error_rate.unwrap_or(settings.error_rate),
            is_requested: overrides.error_rate.is_some(),
            shared: Arc::clone(&self.shared),
            permit: None,
        }
    }
}

impl<S: NamedService> NamedService for Delay<S> {
    const NAME: &'static str = S::NAME;
}

// === impl DelayFuture ===

impl<S, B> Future for DelayFuture<S, B>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Output = Result<Response<Body>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let answer = loop {
            let next = match this.state.as_mut().project() {
                StateProj::Rejected { status } => {
                    break Ok(status.take().expect("not polled after completion").into_http());
                }
                StateProj::Arrived => queue(this.shared.permits.as_ref(), this.permit),
                StateProj::Queued { permit, span } => {
                    let acquired = ready!(permit.as_mut().poll(cx)).expect("the semaphore is never closed");
                    *this.permit = Some(acquired);
                    span.complete();
                    State::Admitted
                }
                StateProj::Admitted => delay(*this.delay),
                StateProj::Delayed { sleep, span } => {
                    ready!(sleep.poll(cx));
                    span.complete();
                    State::Due
                }
                StateProj::Due if this.error_rate.sample(&mut rand::rng()) => {
                    State::Rejected { status: Some(fault(this.shared.settings.service, *this.is_requested)) }
                }
                StateProj::Due => {
                    let (mut service, request) = this.work.take().expect("taken only when the state changes");
                    State::Called { call: service.call(request) }
                }
                StateProj::Called { call } => break ready!(call.poll(cx)),
            };
            this.state.set(next);
        };
        // Admits the next request now, not when the caller drops this future.
        *this.permit = None;
        Poll::Ready(answer)
    }
}

/// Takes a permit if one is free, and joins the queue otherwise. A released permit goes to the request that has waited
/// longest.
fn queue<F>(permits: Option<&Arc<Semaphore>>, permit: &mut Option<OwnedSemaphorePermit>) -> State<F> {
    let Some(permits) = permits else { return State::Admitted };
    match Arc::clone(permits).try_acquire_owned() {
        Ok(free) => {
            *permit = Some(free);
            State::Admitted
        }
        Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => State::Queued {
            permit: Box::pin(Arc::clone(permits).acquire_owned()),
            span: WaitSpan::new(info_span!("queue", otel.kind = "internal", fanout.cancelled = field::Empty)),
        },
    }
}

/// Draws the delay of a request and starts the wait.
fn delay<F>(distribution: Distribution) -> State<F> {
    let delay = distribution.sample(&mut rand::rng());
    if delay.is_zero() {
        return State::Due;
    }
    let millis = delay.as_secs_f64() * 1e3;
    let span = info_span!("delay", otel.kind = "internal", fanout.delay_ms = millis, fanout.cancelled = field::Empty);
    State::Delayed { sleep: tokio::time::sleep(delay), span: WaitSpan::new(span) }
}

fn overrides_of<B>(settings: &DelaySettings, request: &Request<B>) -> Result<Overrides, InvalidBaggage> {
    if settings.allow_overrides {
        Overrides::from_headers(request.headers(), settings.service)
    } else {
        Ok(Overrides::default())
    }
}

fn fault(service: &str, is_requested: bool) -> Status {
    let info = ErrorDetails::with_error_info("INJECTED_FAULT", "fanout", [("service".to_owned(), service.to_owned())]);
    let message = format!("injected fault of service {service}");
    let mut status = Status::with_error_details(Code::Unavailable, message, info);
    if is_requested {
        blame::mark_callers(status.metadata_mut());
    }
    status
}
