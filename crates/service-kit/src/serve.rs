//! Listens, serves and drains.

use std::{convert::Infallible, fmt, future::Future, time::Duration};

use futures::{Stream, StreamExt as _, stream::BoxStream};
use http::{Request, Response};
use opentelemetry::metrics::{Counter, Meter};
use rpc_layers::{
    body_timeout::BodyTimeoutLayer,
    conformance::ConformanceLayer,
    deadline::ServerDeadlineLayer,
    limit::InFlightLimitLayer,
    rate_limit::{RateLimit, RateLimitLayer},
    trace::{KnownMethods, ServerTraceLayer},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tonic::{body::Body, server::NamedService};
use tonic_health::{ServingStatus, server::HealthReporter};
use tower::{BoxError, Layer as _, Service};

use crate::{
    admin::{self, AdminLayer},
    connections::{self, ReplyTimeoutLayer},
    drain::{DrainEnd, drain},
    identity::Authentication,
    listener::Listener,
    memory,
    process::EX_TEMPFAIL,
    readiness::Readiness,
    routes::Routes,
    settings::EX_USAGE,
};
pub use crate::{connections::ConnectionLimits, work_budget::WorkBudget};

/// Has an item each time that the process is told to stop: the first starts the drain, the second ends it.
pub type Shutdown = BoxStream<'static, ()>;

/// What a process gives a service to serve with.
pub struct ServeContext {
    /// Where to accept connections.
    pub listener: Listener,
    /// Tells the service to drain and return, and to return at once.
    pub shutdown: Shutdown,
    /// Creates the instruments of the service. `None` if metrics are not exported.
    pub meter: Option<Meter>,
}

/// The limits of a [`Server`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// The longest time a request may take.
    pub deadline: Duration,
    /// How long the message of a request may take to arrive.
    pub body_timeout: Duration,
    /// How long requests in flight may take to finish after the shutdown.
    pub drain: Duration,
    /// How many requests may be in flight, of all services of the server together. More are rejected.
    pub max_in_flight: usize,
    /// How much of that one caller may have when others need it, in percent.
    pub max_share: u8,
    /// How many requests each caller may make. `None` is without limit.
    pub rate: Option<RateLimit>,
    /// The limits on connections.
    pub connections: ConnectionLimits,
}

/// A gRPC server: services behind the identity, limit, trace, deadline and conformance layers. Health and reflection stand
/// beside them: they are answered during an overload too, are not traced, and have bounds of their own. Reflection needs an
/// identity if services do.
pub struct Server {
    routes: Routes,
    names: Vec<&'static str>,
    health: HealthReporter,
    descriptors: &'static [u8],
    admin: AdminLayer,
    reflects: bool,
    draining: CancellationToken,
    rate_limit: RateLimitLayer,
    body_timeout: BodyTimeoutLayer,
    authentication: Authentication,
    limit: InFlightLimitLayer,
    trace: ServerTraceLayer,
    deadline: ServerDeadlineLayer,
    conformance: ConformanceLayer,
    reply_timeout: ReplyTimeoutLayer,
    drain: Duration,
    connections: ConnectionLimits,
    /// `None` if metrics are not exported.
    cut_off: Option<Counter<u64>>,
}

/// The error that ended a server.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The service cannot start, and waiting does not help.
    #[error("cannot start: {0}")]
    Start(#[source] BoxError),
    /// A setting cannot be used.
    #[error("{0}")]
    Setting(String),
    /// The settings of who may call cannot be used.
    #[error(transparent)]
    Authentication(#[from] crate::identity::AuthenticationError),
    /// The descriptors of the contract cannot be served.
    #[error("reflection failed: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The drain ended before all requests did: its time was over, or there was a second shutdown.
    #[error("the drain ended while requests were in flight: {in_flight}")]
    CutOff {
        /// How many requests were in flight then: at least one.
        in_flight: usize,
    },
}

// === impl ServeError ===

impl ServeError {
    /// Returns the exit code of a process that ended with this error.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Setting(_) | Self::Authentication(_) => EX_USAGE,
            Self::CutOff { .. } => EX_TEMPFAIL,
            Self::Start(_) | Self::Reflection(_) => 1,
        }
    }
}

// === impl ServeContext ===

impl fmt::Debug for ServeContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServeContext").field("listener", &self.listener).finish_non_exhaustive()
    }
}

// === impl Server ===

impl Server {
    /// Creates a server without services, whose contract is `descriptors`: an encoded
    /// `google.protobuf.FileDescriptorSet`. Metrics are recorded if `meter` is given.
    pub fn new(descriptors: &'static [u8], limits: ServerLimits, meter: Option<&Meter>) -> Self {
        let ServerLimits { deadline, body_timeout, drain, max_in_flight, max_share, rate, connections } = limits;
        let (health, health_service) = tonic_health::server::health_reporter();
        let draining = CancellationToken::new();
        // `serve` returns the error if the descriptors cannot be decoded.
        let methods = KnownMethods::decode(descriptors).unwrap_or_default();
        let limit = InFlightLimitLayer::new(max_in_flight, max_share, methods.clone(), meter);
        let rate_limit = RateLimitLayer::new(rate, methods.clone(), meter);
        let body_timeout = BodyTimeoutLayer::decode(body_timeout, descriptors, meter)
            .unwrap_or_else(|_| BodyTimeoutLayer::new(body_timeout, meter));
        let trace = ServerTraceLayer::new(methods, meter);
        let reply_timeout = ReplyTimeoutLayer::new(deadline);
        let deadline = ServerDeadlineLayer::new(Some(deadline));
        let conformance = [&[descriptors], &admin::DESCRIPTORS[..]].concat().concat();
        let conformance = ConformanceLayer::decode(&conformance).unwrap_or_default();
        let admin = AdminLayer::new(conformance.clone(), draining.clone());
        let mut routes = Routes::default();
        routes.add(admin.layer(health_service.max_decoding_message_size(admin::MAX_MESSAGE)));
        Self {
            routes,
            names: Vec::new(),
            health,
            descriptors,
            admin,
            reflects: false,
            draining,
            rate_limit,
            body_timeout,
            authentication: Authentication::default(),
            limit,
            trace,
            deadline,
            conformance,
            reply_timeout,
            drain,
            connections,
            cut_off: meter.map(cut_off_counter),
        }
    }

    /// Sets who may call the services that are added after this, and reflection. Without it everybody may.
    #[must_use]
    pub fn authentication(self, authentication: Authentication) -> Self {
        Self { authentication, ..self }
    }

    /// Returns what a handler counts requests with that are more work than others.
    pub fn work_budget(&self) -> WorkBudget {
        WorkBudget::new(self.limit.clone(), self.rate_limit.clone())
    }

    /// Adds a service.
    #[must_use]
    pub fn service<S>(mut self, service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
        S: NamedService + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        let authenticate = &self.authentication.layer;
        let service = self.deadline.layer(self.conformance.layer(service));
        let service = self.trace.layer(authenticate.audit().layer(service));
        let service = self.rate_limit.layer(self.body_timeout.layer(self.limit.layer(service)));
        let service = self.reply_timeout.layer(authenticate.layer(service));
        self.routes.add(service);
        self.names.push(S::NAME);
        self
    }

    /// Sets whether reflection answers with the contract. It does not unless this is called: whoever can reach the
    /// server could read what it serves.
    #[must_use]
    pub fn reflection(mut self, reflects: bool) -> Self {
        self.reflects = reflects;
        self
    }

    /// Serves until the first item of `shutdown`, then drains: health changes to `NOT_SERVING`, and requests in flight
    /// have the time of [`ServerLimits::drain`] to finish. A second item ends the drain at once. Connections that are
    /// still open afterwards close with the runtime. Requests that are cut off are logged, and counted in
    /// `fanout.server.cut_off`.
    ///
    /// Health is `NOT_SERVING` until `ready` has returned, and follows the [`Readiness`] that it returns from then on;
    /// `()` is one that never changes. Dropping the future stops accepting connections.
    ///
    /// # Errors
    ///
    /// Returns an error if the descriptors cannot be decoded, `ready` fails, or the end of the drain cuts off requests.
    pub async fn serve<R: Into<Readiness>, E: Into<BoxError>>(
        self,
        listener: impl Into<Listener>,
        ready: impl Future<Output = Result<R, E>>,
        mut shutdown: impl Stream<Item = ()> + Unpin,
    ) -> Result<(), ServeError> {
        let (routes, listener) = (self.routes()?, listener.into());
        let Self { names, health, draining, limit, drain: bound, connections: limits, cut_off, .. } = self;
        let set = |status: ServingStatus| set_health(&health, &names, status);
        set(ServingStatus::NotServing).await;
        let address = listener.local_addr().ok();
        let server = connections::serve(listener, routes, limits, draining.clone().cancelled_owned());
        tracing::info!(address = address.map(tracing::field::display), "listening");
        let in_flight = limit.clone();
        let _giving_back = AbortOnDropHandle::new(tokio::spawn(memory::give_back(move || in_flight.in_flight())));

        tokio::pin!(server);
        let start = async {
            let readiness = ready.await.map_err(|error| ServeError::Start(error.into()))?.into();
            set(ServingStatus::Serving).await;
            tracing::info!("serving");
            let mut readiness = readiness.watch();
            loop {
                let is_ready = readiness.changed().await;
                set(if is_ready { ServingStatus::Serving } else { ServingStatus::NotServing }).await;
            }
        };
        tokio::select! {
            () = &mut server => unreachable!("it serves until the drain, which has not begun"),
            failed = start => return failed,
            _ = shutdown.next() => {}
        }
        set(ServingStatus::NotServing).await;
        draining.cancel();
        let ended = drain(server, bound, shutdown, || limit.in_flight()).await;
        let in_flight = limit.in_flight();
        match ended {
            DrainEnd::Completed(()) => return Ok(()),
            _ if in_flight == 0 => return Ok(()),
            DrainEnd::TimedOut => tracing::warn!(in_flight, "the drain timed out: requests in flight are cut off"),
            DrainEnd::Interrupted => tracing::warn!(in_flight, "the drain was ended: requests in flight are cut off"),
        }
        if let Some(cut_off) = cut_off {
            cut_off.add(u64::try_from(in_flight).unwrap_or(u64::MAX), &[]);
        }
        Err(ServeError::CutOff { in_flight })
    }
}

impl Server {
    /// Returns all services, with reflection of these if it is on.
    fn routes(&self) -> Result<Routes, ServeError> {
        let mut routes = self.routes.clone();
        // Decodes the descriptors, also if nobody is to read them.
        let (v1, v1alpha) = admin::reflection(self.descriptors, &self.names)?;
        if self.reflects {
            let authenticate = self.authentication.layer.without_policy();
            routes.add(authenticate.layer(self.admin.layer(v1)));
            routes.add(authenticate.layer(self.admin.layer(v1alpha)));
        }
        Ok(routes)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("names", &self.names).field("drain", &self.drain).finish_non_exhaustive()
    }
}

fn cut_off_counter(meter: &Meter) -> Counter<u64> {
    let cut_off = meter
        .u64_counter("fanout.server.cut_off")
        .with_unit("{request}")
        .with_description("Requests cut off by the end of a drain")
        .build();
    cut_off.add(0, &[]);
    cut_off
}

/// Sets the health of the whole process, whose name is "", and of each of its services.
async fn set_health(health: &HealthReporter, names: &[&'static str], status: ServingStatus) {
    for name in names.iter().chain(&[""]) {
        health.set_service_status(*name, status).await;
    }
}
