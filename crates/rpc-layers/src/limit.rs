//! A bound on what a process has in flight.
//!
//! Without one a burst is taken in whole: each request costs memory for as long as it waits, and all of them are late
//! together. Beyond the bound a request is refused at once, which costs next to nothing, and its caller can go
//! elsewhere or wait.
//!
//! # Layout
//!
//! * [`InFlightLimitLayer`] and its service: who comes in.
//! * `body`: keeps a request's place until its reply has ended.
//! * `refusal`: what the others are told, and where they are counted.

mod body;
mod refusal;
#[cfg(test)]
mod tests;

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use http_body::Body;
use opentelemetry::metrics::Meter;
use pin_project_lite::pin_project;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::server::NamedService;
use tower::{Layer, Service};

pub use self::body::LimitedBody;
use self::refusal::Refusal;
use crate::trace::KnownMethods;

/// Lets so many requests be in flight, and refuses all others with `RESOURCE_EXHAUSTED`. What one layer makes, and its
/// clones, share the bound.
///
/// A request is in flight until the body of its reply has ended or is dropped: tower's own limit lets go at the headers,
/// when a reply that streams has hardly begun.
///
/// This is to be the outermost layer, outside of the trace: an overload is when a span and a log line for each request
/// hurt most. What is refused is counted by the layer itself, `rpc.server.call.duration` included, and one warning says
/// that it happens; the span of the caller has the status.
#[derive(Clone, Debug)]
pub struct InFlightLimitLayer {
    places: Arc<Semaphore>,
    refusal: Arc<Refusal>,
}

/// The service that [`InFlightLimitLayer`] makes.
#[derive(Clone, Debug)]
pub struct InFlightLimit<S> {
    inner: S,
    layer: InFlightLimitLayer,
}

pin_project! {
    /// The reply to come of an [`InFlightLimit`].
    #[derive(Debug)]
    pub struct InFlightLimitFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProj]
    #[derive(Debug)]
    enum State<F> {
        Admitted { #[pin] reply: F, place: Option<OwnedSemaphorePermit> },
        Refused { refusal: Arc<Refusal> },
    }
}

// === impl InFlightLimitLayer ===

impl InFlightLimitLayer {
    /// Creates a layer that admits `max` requests at a time, for services whose contract has these methods. Records
    /// metrics if `meter` is given.
    ///
    /// # Panics
    ///
    /// Where `max` is more than [`Semaphore::MAX_PERMITS`].
    pub fn new(max: usize, methods: KnownMethods, meter: Option<&Meter>) -> Self {
        let places = Arc::new(Semaphore::new(max));
        if let Some(meter) = meter {
            observe_in_flight(meter, max, Arc::clone(&places));
        }
        Self { places, refusal: Arc::new(Refusal::new(max, methods, meter)) }
    }
}

fn observe_in_flight(meter: &Meter, max: usize, permits: Arc<Semaphore>) {
    let _ = meter
        .i64_observable_up_down_counter("fanout.server.in_flight")
        .with_unit("{request}")
        .with_description("Requests whose reply has not ended")
        .with_callback(move |in_flight| {
            let used = max.saturating_sub(permits.available_permits());
            in_flight.observe(i64::try_from(used).unwrap_or(i64::MAX), &[]);
        })
        .build();
}

impl<S> Layer<S> for InFlightLimitLayer {
    type Service = InFlightLimit<S>;

    fn layer(&self, inner: S) -> InFlightLimit<S> {
        InFlightLimit { inner, layer: self.clone() }
    }
}

// === impl InFlightLimit ===

impl<S: NamedService> NamedService for InFlightLimit<S> {
    const NAME: &'static str = S::NAME;
}

impl<S, B, R> Service<Request<B>> for InFlightLimit<S>
where
    S: Service<Request<B>, Response = Response<R>, Error = Infallible>,
    R: Body,
{
    type Response = Response<LimitedBody<R>>;
    type Error = Infallible;
    type Future = InFlightLimitFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let InFlightLimitLayer { places, refusal } = &self.layer;
        let state = if let Ok(place) = Arc::clone(places).try_acquire_owned() {
            // Called here, not when the future is polled: the deadline's clock further in has to start first.
            State::Admitted { reply: self.inner.call(request), place: Some(place) }
        } else {
            refusal.count(request.uri());
            State::Refused { refusal: Arc::clone(refusal) }
        };
        InFlightLimitFuture { state }
    }
}

// === impl InFlightLimitFuture ===

impl<F, R> Future for InFlightLimitFuture<F>
where
    F: Future<Output = Result<Response<R>, Infallible>>,
    R: Body,
{
    type Output = Result<Response<LimitedBody<R>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Admitted { reply, place } => {
                let Ok(response) = ready!(reply.poll(cx));
                Poll::Ready(Ok(response.map(|body| LimitedBody::new(body, place.take()))))
            }
            StateProj::Refused { refusal } => Poll::Ready(Ok(refusal.response())),
        }
    }
}
