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

use crate::{deadline::ServerDeadlineLayer, trace::ServerTraceLayer};

/// How long a connection may be silent before the server asks whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// How many calls may be cancelled before the server has seen them, on one connection.
///
/// h2 closes a connection with more (CVE-2023-44487), and 20, its default, is fewer than
/// a fan-out that fails fast or a burst of short deadlines cancels at once.
const MAX_PENDING_ACCEPT_RESETS: usize = 10_000;

/// A gRPC server: services behind the trace and deadline layers, beside them health and
/// reflection, which answer at once and are not traced.
pub struct Server {
    routes: RoutesBuilder,
    names: Vec<&'static str>,
    health: HealthReporter,
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
    /// in flight at most `drain`. `descriptors` are what reflection answers with.
    ///
    /// # Errors
    ///
    /// Where the descriptors cannot be decoded.
    pub fn new(descriptors: &'static [u8], deadline: Duration, drain: Duration) -> Result<Self, ServeError> {
        let (health, health_service) = tonic_health::server::health_reporter();
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(descriptors)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                // Errors hold details of these types in `google.protobuf.Any`: a client that
                // learns all by reflection could not read them otherwise.
                .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        };
        let mut routes = Routes::builder();
        routes
            .add_service(health_service)
            .add_service(reflection().build_v1()?)
            .add_service(reflection().build_v1alpha()?);
        let deadline = ServerDeadlineLayer::new(Some(deadline));
        Ok(Self { routes, names: Vec::new(), health, deadline, drain })
    }

    /// Adds a service.
    #[must_use]
    pub fn service<S>(mut self, service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
        S: NamedService + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        let service = ServerTraceLayer::new().layer(self.deadline.layer(service));
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
    /// Where `ready` fails, or the transport does.
    pub async fn serve<E: Into<BoxError>>(
        self,
        listener: TcpListener,
        ready: impl Future<Output = Result<(), E>>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        let Self { routes, names, health, drain, .. } = self;
        let set = |status: ServingStatus| set_health(&health, &names, status);
        set(ServingStatus::NotServing).await;
        let address = listener.local_addr().ok();
        let stop = CancellationToken::new();
        let server = tonic::transport::Server::builder()
            .http2_keepalive_interval(Some(KEEPALIVE))
            .http2_max_pending_accept_reset_streams(Some(MAX_PENDING_ACCEPT_RESETS))
            .add_routes(routes.routes())
            .serve_with_incoming_shutdown(
                TcpIncoming::from(listener).with_nodelay(Some(true)),
                stop.clone().cancelled_owned(),
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
        stop.cancel();
        if let Ok(ended) = tokio::time::timeout(drain, server).await {
            ended?;
        } else {
            tracing::warn!("drain timed out: what is still in flight is cut off");
        }
        Ok(())
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
