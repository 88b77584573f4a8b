//! A CLIENT span and a duration for each call.

use std::{
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use http::{HeaderMap, Request, Response, Uri};
use opentelemetry::metrics::Meter;
use pin_project_lite::pin_project;
use tonic::Status;
use tower::{BoxError, Layer, Service};
use tracing::{Span, field::Empty};

use super::{
    attempt::AttemptInfo,
    body::TracedBody,
    duration::CallDuration,
    end_reason::EndReason,
    guarded::Guarded,
    method::{RpcMethod, rpc_method},
    span_context::span_context_of,
    span_guard::{ClientCall, SpanGuard},
    trace_context::insert_traceparent,
};
use crate::call_context::{CallContext, Outgoing};

/// Wraps each call in a CLIENT span, and measures its duration.
///
/// Adds `traceparent` to the headers of the call, and the baggage that a [`CallContext`](crate::CallContext) put into
/// its extensions. Reads the [`AttemptInfo`] in the extensions, if there is one, into the span.
///
/// The error of the inner service passes unchanged.
#[derive(Clone, Debug)]
pub struct ClientTraceLayer {
    server: Arc<Server>,
}

/// The service of [`ClientTraceLayer`].
#[derive(Clone, Debug)]
pub struct ClientTrace<S> {
    inner: S,
    server: Arc<Server>,
}

#[derive(Clone, Debug)]
struct Server {
    address: Option<String>,
    port: Option<u16>,
    /// The address and the port that calls are sent to, if that is known. As text, so that no call has to format it.
    peer: Option<(String, u16)>,
    /// `None` if no metrics are recorded.
    duration: Option<CallDuration>,
}

pin_project! {
    /// The response future of [`ClientTrace`]. Dropping it ends the span as CANCELLED.
    #[derive(Debug)]
    pub struct ClientTraceFuture<F> {
        #[pin]
        inner: Guarded<F>,
    }
}

// === impl ClientTraceLayer ===

impl ClientTraceLayer {
    /// Creates a layer for calls to the server at this address. Records `rpc.client.call.duration` if `meter` is given.
    pub fn new(server: &Uri, meter: Option<&Meter>) -> Self {
        let port = server.port_u16().or_else(|| match server.scheme_str() {
            Some("http") => Some(80),
            Some("https") => Some(443),
            _ => None,
        });
        let duration = meter.map(|meter| CallDuration::of_client(meter, server.host(), port));
        Self { server: Arc::new(Server { address: server.host().map(str::to_owned), port, peer: None, duration }) }
    }

    /// Names the address that calls are sent to, such as that of one replica, in their spans: `network.peer.address`.
    #[must_use]
    pub fn peer(mut self, peer: SocketAddr) -> Self {
        Arc::make_mut(&mut self.server).peer = Some((peer.ip().to_string(), peer.port()));
        self
    }
}

impl<S> Layer<S> for ClientTraceLayer {
    type Service = ClientTrace<S>;

    fn layer(&self, inner: S) -> ClientTrace<S> {
        ClientTrace { inner, server: Arc::clone(&self.server) }
    }
}

// === impl ClientTrace ===

impl<S, B, R> Service<Request<B>> for ClientTrace<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Into<BoxError>,
{
    type Response = Response<TracedBody<R>>;
    type Error = BoxError;
    type Future = ClientTraceFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let outgoing = request.extensions_mut().get_mut::<Outgoing>();
        let (ctx, attempt) = outgoing.map(|call| (call.ctx.clone(), call.attempt.take())).unwrap_or_default();
        let span = self.server.span(&request, attempt.as_ref());
        if let Some(slot) = attempt.and_then(|attempt| attempt.span) {
            slot.fill(&span);
        }
        propagate(request.headers_mut(), &span, &ctx);
        let guard = SpanGuard::client(span, self.server.measure(request.uri()));
        ClientTraceFuture { inner: Guarded::start(guard, || self.inner.call(request)) }
    }
}

/// Adds the trace context and the baggage to the headers of a call. Its parent is the context's if the call's own span is
/// not exported.
fn propagate(headers: &mut HeaderMap, span: &Span, ctx: &CallContext) {
    if let Some(ids) = span_context_of(span).as_ref().or(ctx.parent()) {
        insert_traceparent(headers, ids);
    }
    if !ctx.baggage().is_empty() {
        ctx.baggage().insert_into(headers);
    }
}

// === impl Server ===

impl Server {
    fn span<B>(&self, request: &Request<B>, attempt: Option<&AttemptInfo>) -> Span {
        tracing::info_span!(
            "client",
            otel.name = rpc_method(request.uri()),
            otel.kind = "client",
            otel.status_code = Empty,
            rpc.system.name = "grpc",
            rpc.method = rpc_method(request.uri()),
            rpc.response.status_code = Empty,
            server.address = self.address.as_deref(),
            server.port = self.port,
            network.peer.address = self.peer.as_ref().map(|(address, _)| address.as_str()),
            network.peer.port = self.peer.as_ref().map(|(_, port)| *port),
            fanout.attempt = attempt.map(|attempt| attempt.number),
            fanout.hedge = Empty,
            error.type = Empty,
        )
    }

    fn measure(&self, uri: &Uri) -> Option<ClientCall> {
        // A client calls only methods that its own code names, so their number is bounded.
        let call = |duration: &CallDuration| ClientCall {
            method: RpcMethod::Known(rpc_method(uri).into()),
            started: Instant::now(),
            duration: duration.clone(),
        };
        self.duration.as_ref().map(call)
    }
}

// === impl ClientTraceFuture ===

impl<F, R, E> Future for ClientTraceFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    E: Into<BoxError>,
{
    type Output = Result<Response<TracedBody<R>>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (result, guard) = ready!(self.project().inner.poll(cx));
        let (result, reason) = match result.map_err(Into::into) {
            Ok(response) => {
                let reason = EndReason::from_headers(response.headers());
                (Ok(response), reason)
            }
            Err(error) => {
                // The status that tonic's client will derive from the error. The error itself passes unchanged.
                let (code, error) = code_of(error);
                (Err(error), Some(EndReason::Status(code)))
            }
        };
        let guard = match reason {
            Some(reason) => {
                guard.end(reason);
                None
            }
            None => Some(guard),
        };
        Poll::Ready(result.map(|response| response.map(|body| TracedBody::new(body, guard))))
    }
}

fn code_of(error: BoxError) -> (tonic::Code, BoxError) {
    let status = Status::from_error(error);
    (status.code(), status.into())
}
