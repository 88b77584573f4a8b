//! Answers UNAVAILABLE until a service has started.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use futures::future::Either;
use http::{Request, Response};
use tonic::{Status, body::Body, server::NamedService};
use tower::Service;

/// Answers UNAVAILABLE until it is opened with a service, and passes calls to that service from then on.
///
/// With it a process whose database is still starting can already listen, report its health, and reject requests with a
/// reason. Clones share one service.
#[derive(Debug)]
pub struct StartupGate<S> {
    service: Arc<OnceLock<S>>,
}

/// The error for a gate that is opened twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the gate is open already")]
pub struct AlreadyOpen;

// === impl StartupGate ===

impl<S> StartupGate<S> {
    /// Creates a closed gate.
    pub fn new() -> Self {
        Self { service: Arc::new(OnceLock::new()) }
    }

    /// Opens the gate: `service` answers all calls from now on.
    ///
    /// # Errors
    ///
    /// Returns an error if the gate is open already.
    pub fn open(&self, service: S) -> Result<(), AlreadyOpen> {
        self.service.set(service).map_err(|_| AlreadyOpen)
    }
}

impl<S> Default for StartupGate<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Clone for StartupGate<S> {
    fn clone(&self) -> Self {
        Self { service: Arc::clone(&self.service) }
    }
}

impl<S: NamedService> NamedService for StartupGate<S> {
    const NAME: &'static str = S::NAME;
}

impl<S, B> Service<Request<B>> for StartupGate<S>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible> + Clone,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<S::Future, Ready<Result<Response<Body>, Infallible>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // tonic's generated servers are always ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match self.service.get() {
            Some(service) => Either::Left(service.clone().call(request)),
            None => Either::Right(ready(Ok(Status::unavailable("the service is still starting").into_http()))),
        }
    }
}
