//! Health and reflection, with bounds of their own.
//!
//! They are exempt from the limit on requests in flight, because they have to answer during an overload too. So what
//! one caller can take of them is bounded here: how many streams are open, and how large and how slow a request is.
//!
//! # Layout
//!
//! * [`AdminLayer`] and its service.
//! * `reflection`: the reflection of a server's services.
//! * `request_body`: the bounds on a request's size and time.
//! * `stream_pool`: the bounds on streams.

mod reflection;
mod request_body;
mod stream_pool;

use std::{convert::Infallible, time::Duration};

use futures::future::BoxFuture;
use http::{Request, Response};
use http_body::Body as _;
use rpc_layers::{Peer, conformance::ConformanceLayer, deadline::ServerDeadlineLayer};
use tokio_util::sync::CancellationToken;
use tonic::{body::Body, server::NamedService};
use tower::{Layer as _, Service};

pub(crate) use self::reflection::{DESCRIPTORS, reflection};
use self::{
    request_body::BoundedBody,
    stream_pool::{StreamBody, StreamPool},
};
use crate::{
    close_on_drain::CloseOnDrain,
    connections::{ReplyTimeout, ReplyTimeoutLayer},
};

/// The largest message of a request, in bytes: it names a service, a symbol or a file.
pub(crate) const MAX_MESSAGE: usize = 16 << 10;

/// How long a call other than [`WATCH`] may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// Streams changes for as long as its caller wants.
const WATCH: &str = "/grpc.health.v1.Health/Watch";

/// Asks once.
const CHECK: &str = "/grpc.health.v1.Health/Check";

/// Adds the bounds to the services of health and reflection. All services of one layer share the pool of streams.
///
/// * A message has at most [`MAX_MESSAGE`] bytes; the service itself has to reject longer ones.
/// * A request has at most 64 KiB, and arrives within a few seconds.
/// * A call takes at most five seconds, except for `Watch`. A reply that is not read is given up two seconds later.
/// * At most 256 streams are open, 32 of one connection. Others are rejected with `RESOURCE_EXHAUSTED`. `Check` is not
///   counted: probes have to be answered whatever others do.
/// * Streams end when the drain starts.
#[derive(Clone, Debug)]
pub(crate) struct AdminLayer {
    conformance: ConformanceLayer,
    draining: CancellationToken,
    pool: StreamPool,
}

/// The service of [`AdminLayer`].
#[derive(Clone, Debug)]
pub(crate) struct Admin<S> {
    /// For calls with a deadline.
    short: Bounded<S>,
    /// For those without.
    endless: Bounded<S>,
    pool: StreamPool,
}

type Bounded<S> = ReplyTimeout<rpc_layers::deadline::ServerDeadline<rpc_layers::conformance::Conformance<S>>>;

// === impl AdminLayer ===

impl AdminLayer {
    /// Creates a layer whose streams end when `draining` is cancelled.
    pub(crate) fn new(conformance: ConformanceLayer, draining: CancellationToken) -> Self {
        Self { conformance, draining, pool: StreamPool::default() }
    }

    pub(crate) fn layer<S: Clone>(&self, inner: S) -> CloseOnDrain<Admin<S>> {
        let bounded = |deadline: Option<Duration>| {
            let call = ServerDeadlineLayer::new(deadline).layer(self.conformance.layer(inner.clone()));
            ReplyTimeoutLayer::new(deadline.unwrap_or(Duration::MAX)).layer(call)
        };
        let admin = Admin { short: bounded(Some(DEADLINE)), endless: bounded(None), pool: self.pool.clone() };
        CloseOnDrain::new(admin, self.draining.clone())
    }
}

// === impl Admin ===

impl<S: NamedService> NamedService for Admin<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Admin<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
        futures::ready!(self.short.poll_ready(cx))?;
        self.endless.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let path = request.uri().path();
        let is_endless = path == WATCH;
        let permit = if path == CHECK {
            None
        } else {
            match self.pool.acquire(Peer::of(request.extensions()).map(|peer| peer.connection)) {
                Ok(permit) => Some(permit),
                Err(rejected) => return Box::pin(async { Ok(rejected.into_http()) }),
            }
        };
        let request = request.map(|body| Body::new(BoundedBody::new(body, permit.clone())));
        let call = if is_endless { self.endless.call(request) } else { self.short.call(request) };
        Box::pin(async {
            let reply = call.await?;
            Ok(match permit {
                Some(permit) if !reply.body().is_end_stream() => {
                    reply.map(|body| Body::new(StreamBody::new(body, permit)))
                }
                _ => reply,
            })
        })
    }
}
