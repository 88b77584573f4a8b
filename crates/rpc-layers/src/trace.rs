//! A span and a duration metric for each call that a process serves or makes, by OpenTelemetry's semantic conventions
//! for RPC as of version 1.42, with W3C Trace Context between processes.
//!
//! Both layers read the reply up to its trailers, because gRPC reports the status there. A call that is dropped earlier
//! ends its span as CANCELLED.
//!
//! # Layout
//!
//! * `server`: [`ServerTraceLayer`], around a service of this process. It also adds `traceresponse` to the reply and
//!   logs how each request ended.
//! * `client`: [`ClientTraceLayer`], around a channel to another process.
//! * `body`: reads a reply's body up to its trailers.
//! * `span_guard`: the open span of a call, which is ended exactly once; `guarded`: a future inside it.
//! * `end_reason`: how a call ended, on its span.
//! * `duration`: the duration metric.
//! * `line_sample`: limits the log lines of requests that are refused, cancelled or late.
//! * `saved_time`: [`SavedTime`], which a handler adds to the log line of its request.
//! * `method`: the method of a request; bounds the names that callers can create.
//! * `attempt`: which attempt of a call a request is.
//! * `head_sampler`: [`HeadSampler`], which decides before a span is made whether a request is recorded.
//! * `span_context`: the ids of a span; `span_ids`: [`SpanIds`], as which a layer of the subscriber may keep them;
//!   `trace_context`: the headers that have them.
//!
//! # Which subscriber
//!
//! The spans are those of `tracing`. With `tracing-opentelemetry` as a layer of the subscriber nothing else is needed. A
//! layer of one's own, which costs less, keeps [`SpanIds`] with each span.

mod attempt;
mod body;
mod client;
mod duration;
mod end_reason;
mod guarded;
mod head_sampler;
mod line_sample;
mod method;
mod saved_time;
mod server;
mod span_context;
mod span_guard;
mod span_ids;
mod trace_context;

pub use self::{
    attempt::{AttemptInfo, SpanSlot},
    body::TracedBody,
    client::{ClientTrace, ClientTraceFuture, ClientTraceLayer},
    end_reason::code_name,
    head_sampler::{DecidedIds, HeadSampler, UNRECORDED_SPAN, decided_trace_id},
    method::KnownMethods,
    saved_time::SavedTime,
    server::{SERVER_SPAN, ServerTrace, ServerTraceFuture, ServerTraceLayer},
    span_context::{current_trace_id, link, span_context},
    span_ids::{EndGuard, SpanIds, has_end_guard},
};

pub(crate) use self::{
    duration::CallDuration,
    method::{RpcMethod, cut, rpc_method},
    span_context::span_context_of,
};
