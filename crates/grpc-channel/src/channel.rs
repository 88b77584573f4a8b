//! The channel: one backend of one endpoint or many.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use fan_out::Attempts;
use futures::{FutureExt as _, future::BoxFuture};
use opentelemetry::metrics::Meter;
use rpc_layers::CallContext;
use tower::ServiceExt as _;

use crate::{
    call::{Method, UnaryCall},
    config::Config,
    endpoints::set::EndpointSet,
    error::{Cause, Failure},
    metrics::Metrics,
    stack::{self, Stack},
    target::{InvalidTarget, Target},
};

/// A backend of one endpoint or many.
///
/// Clones share its connections, budgets and limits.
#[derive(Clone)]
pub struct Channel {
    info: Arc<BackendInfo>,
    stack: Stack,
    endpoints: Arc<EndpointSet>,
}

/// Identifies the backend in logs and metrics.
#[derive(Debug)]
struct BackendInfo {
    name: Arc<str>,
    targets: String,
    metrics: Metrics,
}

/// A channel that is not connected yet: see [`Channel::builder`].
#[derive(Clone, Debug)]
pub struct Builder {
    name: Arc<str>,
    targets: Vec<Target>,
    config: Config,
    meter: Option<Meter>,
}

// === impl Channel ===

impl Channel {
    /// Begins a channel to the backend `name`, as metrics and logs call it, at these URLs. A URL's host may stand for many
    /// endpoints; the first URL's authority is the `:authority` of every call.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no target, or if one is not `http://` with a host and at most a port.
    pub fn builder<I>(name: impl Into<Arc<str>>, targets: I) -> Result<Builder, InvalidTarget>
    where
        I: IntoIterator<Item: TryInto<Target, Error: Into<InvalidTarget>>>,
    {
        let parse = |target: I::Item| target.try_into().map_err(Into::into);
        let targets = targets.into_iter().map(parse).collect::<Result<Vec<Target>, InvalidTarget>>()?;
        if targets.is_empty() {
            return Err(InvalidTarget::None);
        }
        Ok(Builder { name: name.into(), targets, config: Config::default(), meter: None })
    }

    /// Returns the backend's name, such as `user`.
    pub fn name(&self) -> &str {
        &self.info.name
    }

    /// Returns the target URLs as they were given, separated by commas.
    pub fn targets(&self) -> &str {
        &self.info.targets
    }

    /// Waits until an endpoint is connected and serving. Logs meanwhile what it waits for.
    ///
    /// Cancel safe.
    pub async fn ready(&self) {
        let mut changes = self.endpoints.changes();
        let mut said = None;
        while !self.endpoints.is_ready() {
            let reason = self.endpoints.unreachable();
            if let Some(reason) = reason.filter(|reason| said.as_ref() != Some(reason)) {
                tracing::info!(backend = &*self.info.name, url = %self.info.targets, %reason, "waiting for a service");
                said = Some(reason);
            }
            // The sender lives as long as the set.
            let _ = changes.changed().await;
        }
    }

    /// Makes a unary call of an encoded message, and returns the encoded reply. `attempts` counts what is sent.
    ///
    /// Dropping the future resets the call at the backend.
    ///
    /// # Errors
    ///
    /// Returns the status of the call, and where it failed.
    pub fn unary(
        &self,
        method: Method,
        message: Bytes,
        ctx: &CallContext,
        attempts: &Attempts,
    ) -> BoxFuture<'static, Result<Bytes, Failure>> {
        let call = UnaryCall::new(method, message, ctx.clone(), attempts.clone());
        let (info, reply) = (Arc::clone(&self.info), self.stack.clone().oneshot(call));
        reply.inspect(move |result| info.count(result)).boxed()
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("info", &self.info).finish_non_exhaustive()
    }
}

// === impl BackendInfo ===

impl BackendInfo {
    /// Counts calls that were rejected before they were sent.
    fn count(&self, result: &Result<Bytes, Failure>) {
        match result {
            Err(Failure { cause: Cause::Shed, .. }) => self.metrics.shed(),
            Err(Failure { cause: Cause::CircuitOpen, .. }) => self.metrics.rejected(),
            Ok(_) | Err(_) => {}
        }
    }
}

// === impl Builder ===

impl Builder {
    /// Takes these settings in place of the defaults.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Records metrics with this meter. Without one nothing is recorded.
    #[must_use]
    pub fn meter(mut self, meter: impl Into<Option<Meter>>) -> Self {
        self.meter = meter.into();
        self
    }

    /// Connects in the background, and again whenever a connection is lost, until the last clone is dropped.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime.
    pub fn connect(self) -> Channel {
        let Self { name, targets, config, meter } = self;
        let metrics = Metrics::new(Arc::clone(&name), meter);
        let endpoints = Arc::new(EndpointSet::new(config.max_ejected.into()));
        let watched = Arc::clone(&endpoints);
        metrics.watch_replicas(move || watched.count_by_state());
        let watched = Arc::clone(&endpoints);
        metrics.watch_connections(move || watched.connections());
        let stack = stack::stack(&targets, &config, &endpoints, &metrics);
        let targets = targets.iter().map(Target::to_string).collect::<Vec<_>>().join(", ");
        Channel { info: Arc::new(BackendInfo { name, targets, metrics }), stack, endpoints }
    }
}
