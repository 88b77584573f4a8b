//! The channel: one backend of one endpoint or many.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use fan_out::Attempts;
use futures::{FutureExt as _, TryFutureExt as _, future::BoxFuture};
use grpc_tls::ClientTls;
use http::{HeaderMap, Request, Response, uri::PathAndQuery};
use opentelemetry::metrics::Meter;
use prost::Message;
use rpc_layers::{
    CallContext,
    deadline::{Deadline, GRPC_TIMEOUT, timeout_of},
};
use tonic::{Status, body::Body};
use tower::Service;

use crate::{
    call::{Call, CallInner, Wanted},
    config::Config,
    descriptors::{Descriptors, MethodKind},
    endpoints::{endpoint::Marks, set::EndpointSet},
    error::{Cause, Failure},
    method::Method,
    methods::Methods,
    metrics::Metrics,
    reply::{Reply, ResponseBody},
    request_body::{Collected, RequestBody, collect_now},
    service_config::ServiceConfig,
    stack::{self, Stack},
    target::{InvalidTarget, Target},
    transport::framing::frame,
};

/// A gRPC client channel to one backend of one endpoint or many.
///
/// A [`tower::Service`] in place of tonic's `Channel`, for generated clients as they are. Clones share connections, budgets
/// and limits, and cost a few reference counts.
#[derive(Clone)]
pub struct Channel {
    backend: Arc<BackendInfo>,
    stack: Stack,
    endpoints: Arc<EndpointSet>,
}

/// The backend in logs and metrics, and its methods.
#[derive(Debug)]
struct BackendInfo {
    name: Arc<str>,
    targets: String,
    methods: Methods,
    metrics: Metrics,
}

/// A channel that is not connected yet: see [`Channel::builder`].
#[derive(Clone, Debug)]
pub struct Builder {
    name: Arc<str>,
    targets: Vec<Target>,
    config: Config,
    service_config: ServiceConfig,
    descriptors: Descriptors,
    tls: Option<ClientTls>,
    meter: Option<Meter>,
}

// === impl Channel ===

impl Channel {
    /// Begins a channel to the backend `name`, as metrics and logs call it, at these URLs. A URL's host may stand for many
    /// endpoints; the first URL's authority is the `:authority` of every call without TLS. With it, the authority is that of
    /// the endpoint's own URL, and its host the name that the endpoint's certificate has to have.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no target, or if one is not `http://` or `https://` with a host and at most a port.
    pub fn builder<I>(name: impl Into<Arc<str>>, targets: I) -> Result<Builder, InvalidTarget>
    where
        I: IntoIterator<Item: TryInto<Target, Error: Into<InvalidTarget>>>,
    {
        let parse = |target: I::Item| target.try_into().map_err(Into::into);
        let targets = targets.into_iter().map(parse).collect::<Result<Vec<Target>, InvalidTarget>>()?;
        if targets.is_empty() {
            return Err(InvalidTarget::None);
        }
        Ok(Builder {
            name: name.into(),
            targets,
            config: Config::default(),
            service_config: ServiceConfig::default(),
            descriptors: Descriptors::default(),
            tls: None,
            meter: None,
        })
    }

    /// Returns the backend's name, such as `user`.
    pub fn name(&self) -> &str {
        &self.backend.name
    }

    /// Returns the target URLs as they were given, separated by commas.
    pub fn targets(&self) -> &str {
        &self.backend.targets
    }

    /// Waits until an endpoint is connected and serving. Logs meanwhile what it waits for.
    ///
    /// Has no limit of its own. Cancel safe.
    pub async fn ready(&self) {
        let mut changes = self.endpoints.changes();
        let mut logged = None;
        while !self.endpoints.is_ready() {
            let reason = self.endpoints.unreachable();
            if let Some(reason) = reason.filter(|reason| logged.as_ref() != Some(reason)) {
                tracing::info!(backend = self.name(), url = self.targets(), %reason, "waiting for a service");
                logged = Some(reason);
            }
            self.endpoints.end_rest();
            // The sender lives as long as the set.
            let _ = changes.changed().await;
        }
    }

    /// Returns the method at this path, such as `/helloworld.Greeter/SayHello`, with all that is configured for it.
    pub fn method(&self, path: &PathAndQuery) -> Method {
        self.backend.methods.get(path)
    }

    /// Makes a unary call, and returns the reply's bytes as they came: the lean path, for callers that pass replies on.
    /// `attempts` counts what is sent.
    ///
    /// Dropping the future resets the call at the backend.
    ///
    /// # Errors
    ///
    /// Returns the status of the call, and where it failed.
    pub fn unary<M: Message>(
        &self,
        method: &Method,
        message: &M,
        ctx: &CallContext,
        attempts: &Attempts,
    ) -> impl Future<Output = Result<Bytes, Failure>> + Send + use<M> {
        let call = CallInner {
            method: method.clone(),
            request: RequestBody::Whole(frame(message)),
            metadata: None,
            wanted: Wanted::Message,
            ctx: ctx.clone(),
            attempts: attempts.clone(),
            tried: Marks::default(),
        };
        self.start(call).map(|reply| Ok(reply?.into_whole()?.data))
    }

    fn start(&self, call: CallInner) -> impl Future<Output = Result<Reply, Failure>> + Send + use<> {
        let backend = Arc::clone(&self.backend);
        self.stack.call(Call::new(call)).inspect_err(move |failure| backend.count(failure))
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<ResponseBody>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Response<ResponseBody>, Status>>;

    /// Always ready: waiting for an endpoint or a connection belongs to the call, which has a deadline.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    /// Makes a call for a generated client.
    ///
    /// The request's extensions may hold a [`CallContext`]'s parts and [`Attempts`]. Its deadline is the earliest of that
    /// context's, its `grpc-timeout` and its method's timeout.
    ///
    /// The reply of a call that streams it has arrived with its headers; any other is whole, and has at most 4 MiB. Dropping
    /// the future, or the body of a reply that streams, resets the call at the backend.
    ///
    /// # Errors
    ///
    /// Returns the status of the call if the backend replied with none but a status, or did not reply;
    /// [`Failure::find_in`] finds out why. A reply that streams ends with its status in the body.
    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        let Some(path) = head.uri.path_and_query() else {
            let status = Status::internal(format!("{:?} has no path to call", head.uri));
            return Box::pin(std::future::ready(Err(status)));
        };
        let method = self.backend.methods.get(path);
        let mut ctx = CallContext::from_extensions(&head.extensions);
        // A malformed one stays for the server to reject.
        if let Ok(Some(timeout)) = timeout_of(&head.headers) {
            head.headers.remove(GRPC_TIMEOUT);
            let timeout = Deadline::after(timeout);
            ctx.deadline = Some(ctx.deadline.map_or(timeout, |deadline| deadline.min(timeout)));
        }
        let (may_end, wanted) = match method.kind() {
            MethodKind::Unary => (true, Wanted::Whole),
            MethodKind::ServerStreaming | MethodKind::Unknown => (true, Wanted::Stream),
            MethodKind::ClientStreaming => (false, Wanted::Whole),
            MethodKind::Bidirectional => (false, Wanted::Stream),
        };
        let request = match collect_now(body, may_end) {
            Collected::Whole(frame) => RequestBody::Whole(frame),
            Collected::Stream(stream) => RequestBody::stream(stream),
            Collected::Failed(status) => return Box::pin(std::future::ready(Err(status))),
        };
        let attempts = head.extensions.remove::<Attempts>().unwrap_or_default();
        let metadata = metadata(head.headers);
        let tried = Marks::default();
        let reply = self.start(CallInner { method, request, metadata, wanted, ctx, attempts, tried });
        Box::pin(reply.map(|reply| Ok(reply?.into_response())))
    }
}

/// Returns the caller's headers, if there are any.
fn metadata(headers: HeaderMap) -> Option<Box<HeaderMap>> {
    (!headers.is_empty()).then(|| Box::new(headers))
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("name", &self.backend.name)
            .field("targets", &self.backend.targets)
            .finish_non_exhaustive()
    }
}

// === impl BackendInfo ===

impl BackendInfo {
    /// Counts a call that was rejected before it was sent.
    fn count(&self, failure: &Failure) {
        match failure.cause {
            Cause::Shed => self.metrics.shed(),
            Cause::CircuitOpen => self.metrics.rejected(),
            _ => {}
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

    /// Treats the methods that this service config names as it says.
    #[must_use]
    pub fn service_config(mut self, service_config: ServiceConfig) -> Self {
        self.service_config = service_config;
        self
    }

    /// Takes from the contract which methods stream, and which are idempotent.
    ///
    /// Without descriptors a call may stream and is not idempotent: it is sent again only if it was never sent, or if a
    /// service config says so.
    #[must_use]
    pub fn descriptors(mut self, descriptors: Descriptors) -> Self {
        self.descriptors = descriptors;
        self
    }

    /// Connects to `https://` URLs with this TLS. Without it, servers need a certificate of an authority that this machine
    /// trusts.
    #[must_use]
    pub fn tls(mut self, tls: impl Into<Option<ClientTls>>) -> Self {
        self.tls = tls.into();
        self
    }

    /// Records metrics with this meter. Without one nothing is recorded.
    #[must_use]
    pub fn meter(mut self, meter: impl Into<Option<Meter>>) -> Self {
        self.meter = meter.into();
        self
    }

    /// Connects in the background, and again whenever a connection is lost, until the last clone is dropped. Blocks for a
    /// moment if it has to read the authorities of this machine.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime.
    pub fn connect(self) -> Channel {
        let Self { name, targets, config, service_config, descriptors, tls, meter } = self;
        let tls = targets.iter().any(Target::is_https).then(|| tls.unwrap_or_else(ClientTls::of_platform));
        let metrics = Metrics::new(Arc::clone(&name), meter);
        let endpoints = Arc::new(EndpointSet::new(config.max_ejected.into()));
        let watched = Arc::clone(&endpoints);
        metrics.watch_replicas(move || watched.count_by_state());
        let watched = Arc::clone(&endpoints);
        metrics.watch_connections(move || watched.connections());
        let throttling = service_config.retry_throttling();
        let stack = stack::stack(&name, &targets, &config, throttling, tls, &endpoints, &metrics);
        let methods = Methods::new(&descriptors, service_config, &config);
        let targets = targets.iter().map(Target::to_string).collect::<Vec<_>>().join(", ");
        Channel { backend: Arc::new(BackendInfo { name, targets, methods, metrics }), stack, endpoints }
    }
}
