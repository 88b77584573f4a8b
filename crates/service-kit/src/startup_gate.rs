//! A service that is not there yet.

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

/// Answers UNAVAILABLE until the service behind it is there.
///
/// A process whose database is still starting can listen, be asked for its health and
/// refuse requests with a reason, instead of refusing connections. Clones share one
/// place.
#[derive(Debug)]
pub struct StartupGate<S> {
    place: Arc<OnceLock<S>>,
}

/// The service is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the service is there already")]
pub struct AlreadyOpen;

// === impl StartupGate ===

impl<S> StartupGate<S> {
    /// A place without a service.
    pub fn new() -> Self {
        Self { place: Arc::new(OnceLock::new()) }
    }

    /// Puts the service in its place: from now on it answers.
    ///
    /// # Errors
    ///
    /// Where it has been put there before.
    pub fn open(&self, service: S) -> Result<(), AlreadyOpen> {
        self.place.set(service).map_err(|_| AlreadyOpen)
    }
}

impl<S> Default for StartupGate<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Clone for StartupGate<S> {
    fn clone(&self) -> Self {
        Self { place: Arc::clone(&self.place) }
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
        // Generated servers are always ready; there may be none yet to ask.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match self.place.get() {
            Some(service) => Either::Left(service.clone().call(request)),
            None => Either::Right(ready(Ok(Status::unavailable("the service is still starting").into_http()))),
        }
    }
}
