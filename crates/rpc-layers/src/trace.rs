//! A span for each call that this process answers or makes, and how long it took as a
//! metric, by OpenTelemetry's semantic conventions for RPC as of version 1.42, with W3C
//! Trace Context between the processes.
//!
//! Both layers see the end of the reply, trailers included, because only there gRPC says
//! how the call went. A call that is dropped before ends its span as CANCELLED.
//!
//! # Layout
//!
//! * `server`: [`ServerTraceLayer`], around a service of this process; it also puts
//!   `traceresponse` into the reply and logs how each request ended.
//! * `client`: [`ClientTraceLayer`], around a channel to another.
//! * `attempt`: which of a call's attempts a request is.
//! * `method`: which method a request is for.
//! * `ending`: how a call ended, on its span.
//! * `duration`: how long it took, as a metric.
//! * `body`: watches a reply's body for its trailers.

mod attempt;
mod body;
mod client;
mod duration;
mod ending;
mod method;
mod server;

pub use self::{
    attempt::{AttemptInfo, SpanSlot},
    body::TracedBody,
    client::{ClientTrace, ClientTraceLayer},
    ending::code_name,
    method::KnownMethods,
    server::{ServerTrace, ServerTraceLayer},
};

pub(crate) use self::duration::CallDuration;

use http::Uri;
use opentelemetry::trace::TraceContextExt as _;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The trace of the current span, as 32 lower-case hexadecimal digits.
pub fn current_trace_id() -> Option<String> {
    let context = tracing::Span::current().context();
    let span = context.span();
    let ids = span.span_context();
    ids.is_valid().then(|| ids.trace_id().to_string())
}

/// The method of a gRPC path, as `rpc.method` has it: without the leading slash.
fn rpc_method(uri: &Uri) -> &str {
    let path = uri.path();
    path.strip_prefix('/').unwrap_or(path)
}
