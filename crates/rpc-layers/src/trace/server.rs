//! A SERVER span for each request.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use http::{HeaderMap, HeaderValue, Request, Response, header::HeaderName};
use opentelemetry::{metrics::Meter, propagation::TextMapPropagator as _, trace::TraceContextExt as _};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use pin_project_lite::pin_project;
use tonic::{Status, server::NamedService};
use tower::{Layer, Service};
use tracing::Instrument as _;
use tracing::{Span, field::Empty, instrument::Instrumented};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::{
    body::{Served, TracedBody, Watch},
    duration::CallDuration,
    ending::Ending,
    method::{KnownMethods, RpcMethod},
};
use crate::{deadline::caller_timeout, source};

/// W3C Trace Context, Level 2: the trace of a reply.
const TRACERESPONSE: HeaderName = HeaderName::from_static("traceresponse");

/// Continues the caller's trace, or begins one, with a SERVER span around a service, and measures how long it took.
#[derive(Clone, Debug)]
pub struct ServerTraceLayer {
    methods: KnownMethods,
    /// Nothing where nobody gets metrics.
    duration: Option<CallDuration>,
}

/// The service that [`ServerTraceLayer`] makes.
#[derive(Clone, Debug)]
pub struct ServerTrace<S> {
    inner: S,
    layer: ServerTraceLayer,
}

pin_project! {
    /// The reply to come of a [`ServerTrace`].
    #[derive(Debug)]
    pub struct ServerTraceFuture<F> {
        #[pin]
        inner: Instrumented<F>,
        watch: Option<Watch>,
    }
}

// === impl ServerTraceLayer ===

impl ServerTraceLayer {
    /// Creates a layer for services whose contract has these methods. Records `rpc.server.call.duration` if `meter` is
    /// given.
    pub fn new(methods: KnownMethods, meter: Option<&Meter>) -> Self {
        Self { methods, duration: meter.map(CallDuration::of_server) }
    }
}

impl<S> Layer<S> for ServerTraceLayer {
    type Service = ServerTrace<S>;

    fn layer(&self, inner: S) -> ServerTrace<S> {
        ServerTrace { inner, layer: self.clone() }
    }
}

// === impl ServerTrace ===

impl<S: NamedService> NamedService for ServerTrace<S> {
    const NAME: &'static str = S::NAME;
}

impl<S, B, R> Service<Request<B>> for ServerTrace<S>
where
    S: Service<Request<B>, Response = Response<R>, Error = Infallible>,
{
    type Response = Response<TracedBody<R>>;
    type Error = Infallible;
    type Future = ServerTraceFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let method = self.layer.methods.method(request.uri());
        let span = server_span(&request, &method);
        let (begun, patience) = (Instant::now(), caller_timeout(request.headers()));
        let served = Served { method, begun, patience, duration: self.layer.duration.clone() };
        let watch = Watch::server(span.clone(), served);
        let inner = span.in_scope(|| self.inner.call(request)).instrument(span);
        ServerTraceFuture { inner, watch: Some(watch) }
    }
}

fn server_span<B>(request: &Request<B>, method: &RpcMethod) -> Span {
    let span = tracing::info_span!(
        "server",
        otel.name = method.span_name(),
        otel.kind = "server",
        otel.status_code = Empty,
        rpc.system.name = "grpc",
        rpc.method = method.rpc_method(),
        rpc.method_original = method.rpc_method_original(),
        rpc.response.status_code = Empty,
        server.address = request.uri().host(),
        server.port = request.uri().port_u16(),
        error.type = Empty,
    );
    if request.headers().contains_key("traceparent") {
        let caller = TraceContextPropagator::new().extract(&HeaderExtractor(request.headers()));
        // The span has not been entered yet, so it can only be disabled: then there is
        // no trace to continue.
        let _ = span.set_parent(caller);
    }
    span
}

// === impl ServerTraceFuture ===

impl<F, R> Future for ServerTraceFuture<F>
where
    F: Future<Output = Result<Response<R>, Infallible>>,
{
    type Output = Result<Response<TracedBody<R>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Ok(mut response) = ready!(this.inner.poll(cx));
        let watch = this.watch.take();
        if let Some(watch) = &watch {
            put_traceresponse(response.headers_mut(), watch.span());
        }
        let watch = match (watch, Ending::of(response.headers())) {
            // There is nobody to hear this answer: as if the reply had been dropped.
            (Some(_), Some(_)) if lost_its_caller(&response) => None,
            (Some(watch), Some(ending)) => {
                watch.end(ending);
                None
            }
            (watch, _) => watch,
        };
        Poll::Ready(Ok(response.map(|body| TracedBody::new(body, watch))))
    }
}

/// Whether this says no more than that the connection ended before the request's message was read, which tonic calls
/// UNKNOWN, a failure of ours.
fn lost_its_caller<R>(response: &Response<R>) -> bool {
    response.extensions().get::<Status>().is_some_and(|status| source::find::<hyper::Error>(status).is_some())
}

/// The trace and span that answered, in the form of `traceparent`.
fn put_traceresponse(headers: &mut HeaderMap, span: &Span) {
    let context = span.context();
    let span = context.span();
    let ids = span.span_context();
    if !ids.is_valid() {
        return;
    }
    let value = format!("00-{}-{}-{:02x}", ids.trace_id(), ids.span_id(), ids.trace_flags());
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(TRACERESPONSE, value);
    }
}
