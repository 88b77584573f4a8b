//! The ids of a span, as a layer of the subscriber keeps them with it.

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags};
use tracing::{Dispatch, span::Id};
use tracing_subscriber::registry::{LookupSpan as _, Registry};

/// The ids of a span, its parent and its links, among the extensions that the registry keeps with the span.
///
/// A layer that records spans without `tracing-opentelemetry` inserts it when a span is made, and reads it when the span
/// has ended: until then the layers of this crate may give the span a parent in another process, and links.
#[derive(Clone, Debug)]
pub struct SpanIds {
    context: SpanContext,
    /// Invalid if the span begins a trace.
    parent: SpanContext,
    links: Vec<SpanContext>,
}

// === impl SpanIds ===

impl SpanIds {
    /// The ids of a span that begins a trace.
    pub fn root(context: SpanContext) -> Self {
        Self { context, parent: SpanContext::NONE, links: Vec::new() }
    }

    /// The ids of a span with this parent.
    pub fn child_of(parent: &SpanContext, id: SpanId) -> Self {
        let context = in_trace_of(parent, id, parent.trace_flags());
        Self { context, parent: parent.clone(), links: Vec::new() }
    }

    /// Returns what others need to know of the span.
    pub fn context(&self) -> &SpanContext {
        &self.context
    }

    /// Returns the parent, which is invalid if the span begins a trace.
    pub fn parent(&self) -> &SpanContext {
        &self.parent
    }

    /// Returns the spans that it links to.
    pub fn links(&self) -> &[SpanContext] {
        &self.links
    }

    /// Adds a link to another span.
    pub fn add_link(&mut self, to: SpanContext) {
        self.links.push(to);
    }

    /// Lets the span continue the trace of another process. Whether it is recorded has been decided: its flags stay.
    pub(super) fn continue_from(&mut self, parent: &SpanContext) {
        self.context = in_trace_of(parent, self.context.span_id(), self.context.trace_flags());
        self.parent = parent.clone();
    }
}

fn in_trace_of(parent: &SpanContext, id: SpanId, flags: TraceFlags) -> SpanContext {
    SpanContext::new(parent.trace_id(), id, flags, false, parent.trace_state().clone())
}

/// Does something with the ids of a span. Returns `None` if no layer of the subscriber keeps any.
pub(super) fn with_ids<T>(id: &Id, dispatch: &Dispatch, f: impl FnOnce(&mut SpanIds) -> T) -> Option<T> {
    let span = dispatch.downcast_ref::<Registry>()?.span(id)?;
    span.extensions_mut().get_mut::<SpanIds>().map(f)
}

/// Keeps ids with a span that no layer records.
pub(super) fn insert(id: &Id, dispatch: &Dispatch, ids: SpanIds) {
    if let Some(span) = dispatch.downcast_ref::<Registry>().and_then(|registry| registry.span(id)) {
        span.extensions_mut().insert(ids);
    }
}
