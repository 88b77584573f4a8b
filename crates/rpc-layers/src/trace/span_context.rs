//! The ids of a span.

use opentelemetry::trace::{SpanContext, TraceContextExt as _};
use tracing::{Dispatch, Span, span::Id};

use super::head_sampler::unrecorded_ids;

/// Returns the ids of a span, or `None` if it is not part of a trace. For subscribers, which know a span by its number.
pub fn span_context(id: &Id, dispatch: &Dispatch) -> Option<SpanContext> {
    if let Some(ids) = unrecorded_ids(id, dispatch) {
        return Some(ids);
    }
    let context = tracing_opentelemetry::get_otel_context(id, dispatch)?;
    let ids = context.span().span_context().clone();
    ids.is_valid().then_some(ids)
}

/// Returns the ids of a span, or `None` if it is not part of a trace.
pub(crate) fn span_context_of(span: &Span) -> Option<SpanContext> {
    span.with_subscriber(|(id, dispatch)| span_context(id, dispatch)).flatten()
}

/// Returns the trace id of the current span as 32 lower-case hexadecimal digits, or `None` if the span is not part of a
/// trace.
pub fn current_trace_id() -> Option<String> {
    span_context_of(&Span::current()).map(|ids| ids.trace_id().to_string())
}
