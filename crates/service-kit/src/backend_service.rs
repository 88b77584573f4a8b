//! A service with simulated latency and faults.

use std::{convert::Infallible, future::Future};

use clap::Parser;
use fault_injection::DelayLayer;
use http::{Request, Response};
use tonic::{body::Body, server::NamedService};
use tower::{BoxError, Layer as _, Service};

use crate::{
    readiness::{Readiness, ReadinessCheck},
    serve::{ServeContext, ServeError, Server},
    service::Settings,
    settings::{DelayArgs, ServiceArgs},
    startup_gate::StartupGate,
};

/// The settings that every backend service has.
#[derive(Clone, Debug, clap::Args)]
pub struct BackendArgs {
    /// What every service has.
    #[command(flatten)]
    pub service: ServiceArgs,
    /// Simulated latency and faults.
    #[command(flatten)]
    pub delay: DelayArgs,
}

/// A service behind a gateway: one gRPC service, with simulated latency and faults in front of it.
///
/// Implements [`Settings`]: health is `NOT_SERVING`, and calls are answered with `UNAVAILABLE`, until
/// [`start`](Self::start) has returned.
pub trait BackendService: Parser + Send + 'static {
    /// The service's name, such as `user-service`. The part before `-service` is its name in the keys of overrides:
    /// `user.delay`.
    const NAME: &'static str;
    /// The port that it listens on by default.
    const PORT: u16;
    /// The encoded `google.protobuf.FileDescriptorSet` of its contract.
    const DESCRIPTORS: &'static [u8];
    /// The server that tonic generates, such as `UserServiceServer<Users>`.
    type Server: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
        + NamedService
        + Clone
        + Send
        + Sync
        + 'static;

    /// Returns the settings that every backend service has.
    fn backend(&self) -> &BackendArgs;

    /// Starts the service. Waits for what it needs, such as its database.
    ///
    /// # Errors
    ///
    /// Returns an error if the service can never start. It ends the process.
    fn start(self) -> impl Future<Output = Result<Started<Self::Server>, BoxError>> + Send;
}

/// A backend service that has started.
///
/// A server becomes one with `into`.
#[derive(Debug)]
pub struct Started<S> {
    server: S,
    readiness: Readiness,
}

// === impl Started ===

impl<S> Started<S> {
    /// Makes health depend on a check from now on, such as whether the database is there.
    #[must_use]
    pub fn ready_while(mut self, check: impl ReadinessCheck) -> Self {
        self.readiness = Readiness::new(check);
        self
    }
}

impl<S> From<S> for Started<S> {
    fn from(server: S) -> Self {
        Self { server, readiness: Readiness::default() }
    }
}

// === impl Settings ===

impl<B: BackendService> Settings for B {
    const NAME: &'static str = B::NAME;
    const PORT: u16 = B::PORT;

    fn service(&self) -> &ServiceArgs {
        &self.backend().service
    }

    async fn serve(self, context: ServeContext) -> Result<(), ServeError> {
        let BackendArgs { service, delay } = self.backend().clone();
        let key = B::NAME.strip_suffix("-service").unwrap_or(B::NAME);
        let delay = DelayLayer::new(delay.for_service(key));
        let gate = StartupGate::new();
        let server = Server::new(B::DESCRIPTORS, service.limits(), context.meter.as_ref())
            .reflection(service.reflection)
            .service(gate.clone());
        let start = async move {
            let Started { server, readiness } = self.start().await?;
            gate.open(delay.layer(server))?;
            Ok::<_, BoxError>(readiness)
        };
        server.serve(context.listener, start, context.shutdown).await
    }
}
