//! A limit on the requests that a process has in flight.
//!
//! Without a limit a process accepts a whole burst: each request costs memory for as long as it waits, and all of them
//! are late. With one, requests above it are rejected at once, which costs very little, and their callers can retry
//! elsewhere. A caller that has taken everything does not lock the others out.
//!
//! # Layout
//!
//! * [`InFlightLimitLayer`] and its service.
//! * `share`: who gets a permit when there are few.
//! * `permits`: the permits, and who has them.
//! * `body`: holds a request's permit until its reply has ended.
//! * `rejection`: the replies to requests above the limit, and their metrics.

mod body;
mod permits;
mod rejection;
pub(crate) mod share;
#[cfg(test)]
mod tests;

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Extensions, Request, Response};
use http_body::Body;
use opentelemetry::metrics::Meter;
use pin_project_lite::pin_project;
use tonic::{Status, server::NamedService};
use tower::{Layer, Service};

pub use self::{body::LimitedBody, permits::Permit};
use self::{
    permits::Permits,
    rejection::Rejection,
    share::{Exceeded, Limits},
};
use crate::{
    caller_key::{CallerKey, CallerKeys},
    trace::KnownMethods,
};

/// Admits a maximum number of requests at a time, and rejects all others with `RESOURCE_EXHAUSTED`, a `google.rpc.ErrorInfo`
/// that names the limit and a `google.rpc.RetryInfo`. All services of one layer, and their clones, share the limit.
///
/// A caller that is alone may have as many requests in flight as the limit says. A quarter more are for callers that have
/// few when all others are taken: none may have more of them than its share, and less as they run out. Those that have
/// more are rejected until their requests end. A request's callers are its connection, its address (not of loopback, which
/// a proxy on this machine has) and its identity, as the [`Peer`](crate::Peer) in its extensions says; the one with the
/// most requests in flight decides, unless all of them are that caller's.
///
/// A request is in flight until the body of its reply has ended or is dropped. (tower's own limit releases its permit
/// with the headers, when a streamed reply has hardly started.)
///
/// Should be outside of the trace layer: spans and log lines for each request are most expensive
/// during an overload. The layer itself counts rejected requests, also in `rpc.server.call.duration`, and logs at most
/// one warning in ten seconds. The caller's span has the status.
#[derive(Clone, Debug)]
pub struct InFlightLimitLayer {
    permits: Arc<Permits>,
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
        Admitted { #[pin] reply: F, permit: Option<Permit> },
        Rejected { rejection: Arc<Rejection>, exceeded: Exceeded<CallerKey> },
    }
}

// === impl InFlightLimitLayer ===

impl InFlightLimitLayer {
    /// Creates a layer that admits `max` requests at a time, for services whose contract has these methods. `max_share` is
    /// how much of the limit a caller may have when others need it: from 1 to 100, in percent. Records metrics if `meter`
    /// is given.
    pub fn new(max: usize, max_share: u8, methods: KnownMethods, meter: Option<&Meter>) -> Self {
        let permits = Arc::new(Permits::new(Limits::new(max, max_share)));
        if let Some(meter) = meter {
            observe_in_flight(meter, Arc::clone(&permits));
        }
        Self { permits, rejection: Arc::new(Rejection::new(max, max_share, methods, meter)) }
    }

    /// Returns how many requests are in flight.
    pub fn in_flight(&self) -> usize {
        self.permits.requests()
    }

    /// Takes this many permits more for a request with these extensions, as if it were as many requests more: because it is
    /// as much work. Takes a caller's share at most, so that a request of any weight can be served.
    ///
    /// # Errors
    ///
    /// Returns the status of a rejected request, and counts it as one.
    pub fn acquire_more(&self, extensions: &Extensions, permits: usize) -> Result<Permit, Status> {
        self.permits.more(CallerKeys::of(extensions), permits).map_err(|exceeded| {
            self.rejection.record(exceeded);
            self.rejection.status(exceeded)
        })
    }
}

fn observe_in_flight(meter: &Meter, permits: Arc<Permits>) {
    let _ = meter
        .i64_observable_up_down_counter("fanout.server.in_flight")
        .with_unit("{request}")
        .with_description("Requests whose reply has not ended; a stream counts as what it has to do")
        .with_callback(move |in_flight| {
            in_flight.observe(i64::try_from(permits.used()).unwrap_or(i64::MAX), &[]);
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
        let InFlightLimitLayer { permits, rejection } = &self.layer;
        let state = match permits.begin(CallerKeys::of(request.extensions())) {
            // Called here and not in the future, because the clock of the deadline layer has to start before tonic's own.
            Ok(permit) => State::Admitted { reply: self.inner.call(request), permit: Some(permit) },
            Err(exceeded) => {
                rejection.record_request(exceeded, request.uri());
                State::Rejected { rejection: Arc::clone(rejection), exceeded }
            }
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
            StateProj::Rejected { rejection, exceeded } => Poll::Ready(Ok(rejection.response(*exceeded))),
        }
    }
}
