//! Listen, answer, drain.

use std::{convert::Infallible, future::Future, time::Duration};

use http::{Request, Response};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{
    body::Body,
    server::NamedService,
    service::{Routes, RoutesBuilder},
    transport::server::TcpIncoming,
};
use tonic_health::{ServingStatus, server::HealthReporter};
use tower::{BoxError, Layer as _, Service};

use rpc_layers::{
    deadline::ServerDeadlineLayer,
    limit::InFlightLimitLayer,
    trace::{KnownMethods, ServerTraceLayer},
};

use crate::{close_on_drain::CloseOnDrain, telemetry};

/// How long a connection may be silent before the server asks whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// How many calls may be cancelled before the server has seen them, on one connection.
///
/// h2 closes a connection with more (CVE-2023-44487), and 20, its default, is fewer than
/// a fan-out that fails fast or a burst of short deadlines cancels at once.
const MAX_PENDING_ACCEPT_RESETS: usize = 10_000;

/// How many streams that ended by an error of ours a connection remembers in its whole life. By default h2 closes it
/// after 1,024, with every call on it, and a server whose callers go away gets there.
const MAX_LOCAL_ERROR_RESETS: usize = 1 << 31;

/// How much of requests may be under way on one connection. h2 takes a caller whose many small frames it has not read
/// yet for an attacker, and counts them against this: with the default of 1 MiB a burst of thousands of requests ends
/// the connection, and all of them with it.
const CONNECTION_WINDOW: u32 = 64 << 20;

/// A gRPC server: services behind the limit, trace and deadline layers, beside them health
/// and reflection, which answer at once, however much is in flight, and are not traced.
pub struct Server {
    routes: RoutesBuilder,
    names: Vec<&'static str>,
    health: HealthReporter,
    descriptors: &'static [u8],
    draining: CancellationToken,
    limit: InFlightLimitLayer,
    trace: ServerTraceLayer,
    deadline: ServerDeadlineLayer,
    drain: Duration,
}

/// Why a server ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// What the server needs cannot be had, and waiting does not help.
    #[error("cannot start: {0}")]
    Start(#[source] BoxError),
    /// The transport failed.
    #[error("the server failed: {0}")]
    Transport(#[from] tonic::transport::Error),
    /// The contract's descriptors cannot be served.
    #[error("reflection failed: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

// === impl Server ===

impl Server {
    /// A server that gives each request at most `deadline`, and on shutdown the requests
    /// in flight at most `drain`. It has `max_in_flight` of them at once, of all its services
    /// together, and refuses more. `descriptors` are what reflection answers with.
    ///
    /// # Panics
    ///
    /// Where `max_in_flight` is more than [`Semaphore::MAX_PERMITS`](tokio::sync::Semaphore::MAX_PERMITS).
    pub fn new(descriptors: &'static [u8], deadline: Duration, drain: Duration, max_in_flight: usize) -> Self {
        let (health, health_service) = tonic_health::server::health_reporter();
        let meter = telemetry::meter();
        let draining = CancellationToken::new();
        let mut routes = Routes::builder();
        routes.add_service(CloseOnDrain::new(health_service, draining.clone()));
        // What is wrong with descriptors that cannot be read, `serve` says.
        let methods = KnownMethods::decode(descriptors).unwrap_or_default();
        let limit = InFlightLimitLayer::new(max_in_flight, methods.clone(), meter.as_ref());
        let trace = ServerTraceLayer::new(methods, meter.as_ref());
        let deadline = ServerDeadlineLayer::new(Some(deadline));
        Self { routes, names: Vec::new(), health, descriptors, draining, limit, trace, deadline, drain }
    }

    /// Adds a service.
    #[must_use]
    pub fn service<S>(mut self, service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
        S: NamedService + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        let service = self.limit.layer(self.trace.layer(self.deadline.layer(service)));
        self.routes.add_service(service);
        self.names.push(S::NAME);
        self
    }

    /// Answers until `shutdown`, then drains: health turns to `NOT_SERVING`, what is in
    /// flight gets its time, and then this ends. Connections that are still open then close
    /// with the runtime, as a process does that has nothing left to do.
    ///
    /// Health is `NOT_SERVING` until `ready` has its value.
    ///
    /// # Errors
    ///
    /// Where the descriptors cannot be decoded, `ready` fails, or the transport does.
    pub async fn serve<E: Into<BoxError>>(
        self,
        listener: TcpListener,
        ready: impl Future<Output = Result<(), E>>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        let routes = self.routes()?;
        let Self { names, health, draining, drain, .. } = self;
        let set = |status: ServingStatus| set_health(&health, &names, status);
        set(ServingStatus::NotServing).await;
        let address = listener.local_addr().ok();
        let server = tonic::transport::Server::builder()
            .http2_keepalive_interval(Some(KEEPALIVE))
            .http2_max_pending_accept_reset_streams(Some(MAX_PENDING_ACCEPT_RESETS))
            .http2_max_local_error_reset_streams(Some(MAX_LOCAL_ERROR_RESETS))
            .initial_connection_window_size(CONNECTION_WINDOW)
            .add_routes(routes)
            .serve_with_incoming_shutdown(
                TcpIncoming::from(listener).with_nodelay(Some(true)),
                draining.clone().cancelled_owned(),
            );
        tracing::info!(address = address.map(tracing::field::display), "listening");

        tokio::pin!(server, shutdown);
        let start = async {
            ready.await.map_err(|error| ServeError::Start(error.into()))?;
            set(ServingStatus::Serving).await;
            tracing::info!("serving");
            std::future::pending().await
        };
        tokio::select! {
            ended = &mut server => return Ok(ended?),
            failed = start => return failed,
            () = &mut shutdown => {}
        }
        set(ServingStatus::NotServing).await;
        tracing::info!(drain = %humantime::format_duration(drain), "draining");
        draining.cancel();
        if let Ok(ended) = tokio::time::timeout(drain, server).await {
            ended?;
        } else {
            tracing::warn!("drain timed out: what is still in flight is cut off");
        }
        Ok(())
    }
}

impl Server {
    /// All services, with reflection on those that are here.
    fn routes(&self) -> Result<Routes, ServeError> {
        let reflection = || {
            let builder = tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(self.descriptors)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                // Errors hold details of these types in `google.protobuf.Any`: a client that
                // learns all by reflection could not read them otherwise.
                .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
                .with_service_name("grpc.health.v1.Health");
            self.names.iter().fold(builder, |builder, name| builder.with_service_name(*name))
        };
        let v1 = reflection().with_service_name("grpc.reflection.v1.ServerReflection").build_v1()?;
        let v1alpha = reflection().with_service_name("grpc.reflection.v1alpha.ServerReflection").build_v1alpha()?;
        let mut routes = self.routes.clone();
        routes.add_service(CloseOnDrain::new(v1, self.draining.clone()));
        routes.add_service(CloseOnDrain::new(v1alpha, self.draining.clone()));
        Ok(routes.routes())
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("names", &self.names).field("drain", &self.drain).finish_non_exhaustive()
    }
}

/// The whole process, which gRPC names "", and each of its services.
async fn set_health(health: &HealthReporter, names: &[&'static str], status: ServingStatus) {
    for name in names.iter().chain(&[""]) {
        health.set_service_status(*name, status).await;
    }
}
