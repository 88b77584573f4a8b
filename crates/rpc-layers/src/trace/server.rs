//! A SERVER span and a duration for each request.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{self, Poll, ready},
    time::Instant,
};

use http::{Request, Response};
use opentelemetry::{Context, metrics::Meter, propagation::TextMapPropagator as _, trace::TraceContextExt as _};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use pin_project_lite::pin_project;
use tonic::{Status, server::NamedService};
use tower::{Layer, Service};
use tracing::{Span, field::Empty};

use super::{
    body::TracedBody,
    duration::CallDuration,
    end_reason::EndReason,
    guarded::Guarded,
    head_sampler::{self, Decision, set_next_trace_id, unrecorded_span},
    line_sample::LineSample,
    method::{KnownMethods, RpcMethod, cut},
    saved_time::SavedTime,
    span_context::{add_link, set_parent, span_context_of},
    span_guard::{ServerCall, SpanGuard},
    trace_context::insert_traceresponse,
};
use crate::{
    deadline::{Received, client_timeout},
    identity::Caller,
    source,
};

/// The name of the spans of [`ServerTraceLayer`] in `tracing`, by which filters tell them from others. Their name in
/// OpenTelemetry is the method.
pub const SERVER_SPAN: &str = "server";

/// Wraps each request in a SERVER span that continues the caller's trace or starts one, and measures its duration.
///
/// The trace of a [`Caller`] that is not trusted is not continued: the span begins one, with a link to it. A request that
/// a [`HeadSampler`](super::HeadSampler) leaves out has ids alone.
///
/// Adds `traceresponse` to the reply, and logs one line when the reply has ended or was dropped, with the [`SavedTime`]
/// that the reply has as an extension. Of requests that are refused, cancelled, or late by a deadline that their caller
/// set, 50 in a second have a line; one more line says how many others there were.
#[derive(Clone, Debug)]
pub struct ServerTraceLayer {
    methods: KnownMethods,
    /// `None` if no metrics are recorded.
    duration: Option<CallDuration>,
    lines: Arc<LineSample>,
}

/// The service of [`ServerTraceLayer`].
#[derive(Clone, Debug)]
pub struct ServerTrace<S> {
    inner: S,
    layer: ServerTraceLayer,
}

pin_project! {
    /// The response future of [`ServerTrace`]. Dropping it ends the span as CANCELLED, or as DEADLINE_EXCEEDED if the
    /// caller's own `grpc-timeout` has passed.
    #[derive(Debug)]
    pub struct ServerTraceFuture<F> {
        #[pin]
        inner: Guarded<F>,
    }
}

// === impl ServerTraceLayer ===

impl ServerTraceLayer {
    /// Creates a layer for services whose contract has these methods. Records `rpc.server.call.duration` if `meter` is
    /// given.
    pub fn new(methods: KnownMethods, meter: Option<&Meter>) -> Self {
        Self { methods, duration: meter.map(CallDuration::of_server), lines: Arc::default() }
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

    fn poll_ready(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let method = self.layer.methods.method(request.uri());
        let span = server_span(&request, &method);
        let (started, client_timeout) = (Instant::now(), client_timeout(request.headers()));
        let received = Received::of(request.extensions());
        let (duration, lines) = (self.layer.duration.clone(), Arc::clone(&self.layer.lines));
        let call = ServerCall { method, started, received, client_timeout, duration, lines, saved: None };
        let guard = SpanGuard::server(span, call);
        ServerTraceFuture { inner: Guarded::start(guard, || self.inner.call(request)) }
    }
}

/// Returns the span of a request. It is one without fields if the subscriber's [`HeadSampler`](super::HeadSampler)
/// decides that it is not recorded.
fn server_span<B>(request: &Request<B>, method: &RpcMethod) -> Span {
    let caller = request
        .headers()
        .contains_key("traceparent")
        .then(|| TraceContextPropagator::new().extract(&HeaderExtractor(request.headers())))
        // A malformed one is none.
        .filter(|caller| caller.span().span_context().is_valid());
    // Whether a trace is exported is not for a caller to say who is not trusted.
    let (parent, link) = if Caller::is_trusted(request.extensions()) { (caller, None) } else { (None, caller) };
    let trace_id = match head_sampler::decide(method.span_name(), parent.as_ref().unwrap_or(&Context::new())) {
        None => None,
        Some(Decision::Leave(ids)) => return unrecorded_span(ids),
        Some(Decision::Record(trace_id)) => Some(trace_id),
    };
    set_next_trace_id(trace_id);
    let span = recorded_span(request, method);
    set_parent(&span, parent);
    set_next_trace_id(None);
    if let Some(link) = link {
        add_link(&span, link.span().span_context().clone());
    }
    span
}

fn recorded_span<B>(request: &Request<B>, method: &RpcMethod) -> Span {
    tracing::info_span!(
        SERVER_SPAN,
        otel.name = method.span_name(),
        otel.kind = "server",
        otel.status_code = Empty,
        rpc.system.name = "grpc",
        rpc.method = method.rpc_method(),
        rpc.method_original = method.rpc_method_original(),
        rpc.response.status_code = Empty,
        server.address = request.uri().host().map(cut),
        server.port = request.uri().port_u16(),
        error.type = Empty,
    )
}

// === impl ServerTraceFuture ===

impl<F, R> Future for ServerTraceFuture<F>
where
    F: Future<Output = Result<Response<R>, Infallible>>,
{
    type Output = Result<Response<TracedBody<R>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        let (Ok(mut response), mut guard) = ready!(self.project().inner.poll(cx));
        if let Some(ids) = span_context_of(guard.span()) {
            insert_traceresponse(response.headers_mut(), &ids);
        }
        guard.set_saved(response.extensions_mut().remove::<SavedTime>());
        let guard = match EndReason::from_headers(response.headers()) {
            // The caller is gone: dropping the guard ends the span as if the reply had been dropped.
            Some(_) if is_connection_error(&response) => None,
            Some(reason) => {
                guard.end(reason);
                None
            }
            None => Some(guard),
        };
        Poll::Ready(Ok(response.map(|body| TracedBody::new(body, guard))))
    }
}

/// Returns whether the reply only reports that the connection ended before the request's message was read, which tonic
/// reports as UNKNOWN, as if it were this server's failure.
fn is_connection_error<R>(response: &Response<R>) -> bool {
    response.extensions().get::<Status>().is_some_and(|status| source::find::<h2::Error>(status).is_some())
}
