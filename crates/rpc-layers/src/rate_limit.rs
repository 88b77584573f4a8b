//! A limit on how many requests a caller makes in a second.
//!
//! # Layout
//!
//! * [`RateLimitLayer`] and its service.
//! * `buckets`: what each caller has left, for a bounded number of callers.
//! * `rejection`: the reply to requests above the limit, and their metrics.

mod buckets;
mod rejection;
#[cfg(test)]
mod tests;

use std::{
    convert::Infallible,
    num::NonZeroU32,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Extensions, Request, Response};
use opentelemetry::metrics::Meter;
use pin_project_lite::pin_project;
use tonic::{Status, server::NamedService};
use tower::{Layer, Service};

use self::{
    buckets::Buckets,
    rejection::{Metrics, Rejection},
};
use crate::{caller_key::CallerKeys, trace::KnownMethods};

/// How many requests a caller may make: the rate at which its bucket fills again, and how large the bucket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests in a second.
    pub per_second: NonZeroU32,
    /// Requests at once, after a pause.
    pub burst: NonZeroU32,
}

/// Rejects requests of callers that have made too many, with `RESOURCE_EXHAUSTED`, the `google.rpc.ErrorInfo`
/// `RATE_LIMIT_EXCEEDED`, and a `google.rpc.RetryInfo` with the exact time after which the request would be admitted. All
/// services of one layer, and their clones, share the limit.
///
/// A request's caller is its identity or, without one, the address that it comes from: an IPv4 address or a /64 network of
/// IPv6, as the [`Peer`](crate::Peer) in its extensions says. Everybody behind a proxy has its address. As many as 65,536
/// callers are told apart; while all of them have made requests just now, all others count as one.
#[derive(Clone, Debug)]
pub struct RateLimitLayer {
    /// `None` is without limit.
    shared: Option<Arc<Shared>>,
}

#[derive(Debug)]
struct Shared {
    buckets: Buckets,
    rejection: Rejection,
}

/// The service of [`RateLimitLayer`].
#[derive(Clone, Debug)]
pub struct RateLimited<S> {
    inner: S,
    layer: RateLimitLayer,
}

pin_project! {
    /// The response future of [`RateLimited`].
    pub struct RateLimitedFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Admitted { #[pin] call: F },
        Rejected { status: Status },
    }
}

// === impl RateLimitLayer ===

impl RateLimitLayer {
    /// Creates a layer with this limit for each caller of services whose contract has these methods; `None` rejects
    /// nothing. Records metrics if `meter` is given.
    pub fn new(limit: Option<RateLimit>, methods: KnownMethods, meter: Option<&Meter>) -> Self {
        let metrics = meter.map(Metrics::new);
        let shared = limit.map(|limit| {
            let rejection = Rejection::new(limit, methods, metrics);
            Arc::new(Shared { buckets: Buckets::new(limit), rejection })
        });
        Self { shared }
    }

    /// Counts a request with these extensions as this many more, because it is as much work: at most as one burst, so that
    /// a request of any weight can be served.
    ///
    /// # Errors
    ///
    /// Returns the status of a rejected request, and counts it as one.
    pub fn count_more(&self, extensions: &Extensions, requests: usize) -> Result<(), Status> {
        let Some(shared) = &self.shared else { return Ok(()) };
        let requests = u32::try_from(requests).unwrap_or(u32::MAX);
        let Some(requests) = NonZeroU32::new(requests) else { return Ok(()) };
        let caller = CallerKeys::rated(extensions);
        shared.buckets.take(caller, requests).map_err(|wait| {
            shared.rejection.record();
            shared.rejection.status(caller, wait)
        })
    }
}

impl<S> Layer<S> for RateLimitLayer {
    type Service = RateLimited<S>;

    fn layer(&self, inner: S) -> RateLimited<S> {
        RateLimited { inner, layer: self.clone() }
    }
}

// === impl RateLimited ===

impl<S: NamedService> NamedService for RateLimited<S> {
    const NAME: &'static str = S::NAME;
}

impl<S, B, R> Service<Request<B>> for RateLimited<S>
where
    S: Service<Request<B>, Response = Response<R>, Error = Infallible>,
    R: Default,
{
    type Response = Response<R>;
    type Error = Infallible;
    type Future = RateLimitedFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if let Some(Shared { buckets, rejection }) = self.layer.shared.as_deref() {
            let caller = CallerKeys::rated(request.extensions());
            if let Err(wait) = buckets.take(caller, NonZeroU32::MIN) {
                rejection.record_request(request.uri());
                return RateLimitedFuture { state: State::Rejected { status: rejection.status(caller, wait) } };
            }
        }
        RateLimitedFuture { state: State::Admitted { call: self.inner.call(request) } }
    }
}

// === impl RateLimitedFuture ===

impl<F, R> Future for RateLimitedFuture<F>
where
    F: Future<Output = Result<Response<R>, Infallible>>,
    R: Default,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        match self.project().state.project() {
            StateProj::Admitted { call } => Poll::Ready(ready!(call.poll(cx))),
            StateProj::Rejected { status } => Poll::Ready(Ok(status.clone().into_http())),
        }
    }
}
