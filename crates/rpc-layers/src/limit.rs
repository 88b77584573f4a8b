//! A limit on the requests that a process has in flight.
//!
//! Without a limit a process accepts a whole burst: each request costs memory for as long as it waits, and all of them
//! are late. With one, requests above it are rejected at once, which costs very little, and their callers can retry
//! elsewhere.
//!
//! # Layout
//!
//! * [`InFlightLimitLayer`] and its service.
//! * `body`: holds a request's permit until its reply has ended.
//! * `rejection`: the reply to requests above the limit, and their metrics.

mod body;
mod rejection;
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
use self::rejection::Rejection;
use crate::trace::KnownMethods;

/// Admits a maximum number of requests at a time, and rejects all others with `RESOURCE_EXHAUSTED`. All services of one
/// layer, and their clones, share the limit.
///
/// A request is in flight until the body of its reply has ended or is dropped. (tower's own limit releases its permit
/// with the headers, when a streamed reply has hardly started.)
///
/// Should be outside of the trace layer: spans and log lines for each request are most expensive
/// during an overload. The layer itself counts rejected requests, also in `rpc.server.call.duration`, and logs at most
/// one warning in ten seconds. The caller's span has the status.
#[derive(Clone, Debug)]
pub struct InFlightLimitLayer {
    max: usize,
    permits: Arc<Semaphore>,
    rejection: Arc<Rejection>,
}

/// The service of [`InFlightLimitLayer`].
#[derive(Clone, Debug)]
pub struct InFlightLimit<S> {
    inner: S,
    layer: InFlightLimitLayer,
}

pin_project! {
    /// The response future of [`InFlightLimit`]. Dropping it releases the permit.
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
        Admitted { #[pin] reply: F, permit: Option<OwnedSemaphorePermit> },
        Rejected { rejection: Arc<Rejection> },
    }
}

// === impl InFlightLimitLayer ===

impl InFlightLimitLayer {
    /// Creates a layer that admits `max` requests at a time, for services whose contract has these methods. Records
    /// metrics if `meter` is given.
    ///
    /// # Panics
    ///
    /// Panics if `max` is more than [`Semaphore::MAX_PERMITS`].
    pub fn new(max: usize, methods: KnownMethods, meter: Option<&Meter>) -> Self {
        let permits = Arc::new(Semaphore::new(max));
        if let Some(meter) = meter {
            observe_in_flight(meter, max, Arc::clone(&permits));
        }
        Self { max, permits, rejection: Arc::new(Rejection::new(max, methods, meter)) }
    }

    /// Returns how many requests are in flight.
    pub fn in_flight(&self) -> usize {
        self.max.saturating_sub(self.permits.available_permits())
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
        let InFlightLimitLayer { permits, rejection, .. } = &self.layer;
        let state = if let Ok(permit) = Arc::clone(permits).try_acquire_owned() {
            // Called here and not in the future, because the clock of the deadline layer has to start before tonic's
            // own.
            State::Admitted { reply: self.inner.call(request), permit: Some(permit) }
        } else {
            rejection.record(request.uri());
            State::Rejected { rejection: Arc::clone(rejection) }
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
            StateProj::Admitted { reply, permit } => {
                let Ok(response) = ready!(reply.poll(cx));
                Poll::Ready(Ok(response.map(|body| LimitedBody::new(body, permit.take()))))
            }
            StateProj::Rejected { rejection } => Poll::Ready(Ok(rejection.response())),
        }
    }
}
