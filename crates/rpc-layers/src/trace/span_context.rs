//! The ids, the parent and the links of a span: as [`SpanIds`](super::SpanIds) if the subscriber keeps them so, and else
//! through `tracing-opentelemetry`.

use opentelemetry::{
    Context,
    trace::{SpanContext, TraceContextExt as _},
};
use tracing::{Dispatch, Span, span::Id};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::span_ids::with_ids;

/// Returns the ids of a span, or `None` if it is not part of a trace. For subscribers, which know a span by its number.
pub fn span_context(id: &Id, dispatch: &Dispatch) -> Option<SpanContext> {
    if let Some(ids) = with_ids(id, dispatch, |ids| ids.context().clone()) {
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

/// Lets a span that was just made continue the trace of another process, and gives it its ids now, not when it is entered.
pub(super) fn set_parent(span: &Span, parent: Option<Context>) {
    let continue_from = |parent: &Context, id: &Id, dispatch: &Dispatch| {
        with_ids(id, dispatch, |ids| ids.continue_from(parent.span().span_context()))
    };
    let is_set = match &parent {
        Some(parent) => span.with_subscriber(|(id, dispatch)| continue_from(parent, id, dispatch)),
        None => span.with_subscriber(|(id, dispatch)| with_ids(id, dispatch, |_| ())),
    };
    if is_set.flatten().is_some() {
        return;
    }
    if let Some(parent) = parent {
        // Fails only if the span is disabled, because it has not been entered yet: then there is no trace to continue.
        let _ = span.set_parent(parent);
    }
    drop(span.context());
}

/// Adds a link to the span with these ids.
pub(super) fn add_link(span: &Span, to: SpanContext) {
    let own = |id: &Id, dispatch: &Dispatch| with_ids(id, dispatch, |ids| ids.add_link(to.clone()));
    if span.with_subscriber(|(id, dispatch)| own(id, dispatch)).flatten().is_none() {
        span.add_link(to);
    }
}

/// Adds a link to another span, if that is part of a trace.
pub fn link(span: &Span, to: &Span) {
    if let Some(to) = span_context_of(to) {
        add_link(span, to);
    }
}

/// Returns the trace id of the current span as 32 lower-case hexadecimal digits, or `None` if the span is not part of a
/// trace.
pub fn current_trace_id() -> Option<String> {
    span_context_of(&Span::current()).map(|ids| ids.trace_id().to_string())
}
