//! The ids of a span, as a layer of the subscriber keeps them with it.

use std::{cell::Cell, time::SystemTime};

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags};
use tracing::{Dispatch, Span, span::Id};
use tracing_subscriber::registry::{LookupSpan as _, Registry};

/// Of how many spans a thread remembers that they are ended, and not just left.
const REMEMBERED: usize = 512;

thread_local! {
    /// The numbers of such spans, each at the place that its last bits name.
    static GUARDED: [Cell<u64>; REMEMBERED] = const { [const { Cell::new(0) }; REMEMBERED] };
}

/// The ids of a span, its parent, its links and its end, among the extensions that the registry keeps with the span.
///
/// A layer that records spans without `tracing-opentelemetry` inserts it when a span is made, and reads it when the span
/// has ended: until then the layers of this crate may give the span a parent in another process, and links.
#[derive(Clone, Debug)]
pub struct SpanIds {
    context: SpanContext,
    /// Invalid if the span begins a trace.
    parent: SpanContext,
    links: Vec<SpanContext>,
    /// `None` if it has not been ended: it ends when it is left last.
    end: Option<SystemTime>,
}

/// Ends a span when it is dropped.
///
/// Layers take the moment at which a span was left last for its end. That may be later than what it stands for has ended, if
/// others enter it too, such as a thread of a database's driver. Works for spans with [`SpanIds`]; others end as ever.
#[derive(Debug)]
#[must_use = "it ends the span when it is dropped"]
pub struct EndGuard(Span);

// === impl SpanIds ===

impl SpanIds {
    /// The ids of a span that begins a trace.
    pub fn root(context: SpanContext) -> Self {
        Self { context, parent: SpanContext::NONE, links: Vec::new(), end: None }
    }

    /// The ids of a span with this parent.
    pub fn child_of(parent: &SpanContext, id: SpanId) -> Self {
        let context = in_trace_of(parent, id, parent.trace_flags());
        Self { context, parent: parent.clone(), links: Vec::new(), end: None }
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

    /// Returns when it was ended, if it was, whenever it is left last. The spans of calls are: they are not entered at their
    /// end.
    pub fn end(&self) -> Option<SystemTime> {
        self.end
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

// === impl EndGuard ===

impl EndGuard {
    /// Ends this span, if it has not been ended before.
    pub fn new(span: &Span) -> Self {
        will_end(span);
        Self(span.clone())
    }
}

impl Drop for EndGuard {
    fn drop(&mut self) {
        end(&self.0);
    }
}

/// Returns whether a span has an [`EndGuard`] or one of this crate's own, so that a layer need not note when it is left: that is
/// 3,000 of the 40,000 instructions by which a request is dearer that is exported.
///
/// A hint: it may be `false` though there is one, since a thread remembers a few hundred, and very rarely `true` though there
/// is none, since numbers of spans are used again. A span without an [end](SpanIds::end) ends when it is closed at the latest.
pub fn has_end_guard(id: &Id) -> bool {
    GUARDED.with(|guarded| place(guarded, id).get() == id.into_u64())
}

/// Says that a span will be ended.
pub(super) fn will_end(span: &Span) {
    if let Some(id) = span.id() {
        GUARDED.with(|guarded| place(guarded, &id).set(id.into_u64()));
    }
}

fn place<'a>(guarded: &'a [Cell<u64>; REMEMBERED], id: &Id) -> &'a Cell<u64> {
    let [last, second, ..] = id.into_u64().to_le_bytes();
    &guarded[usize::from(u16::from_le_bytes([last, second])) % REMEMBERED]
}

/// Ends a span, if it has not been ended before. Returns whether it has ids.
fn end(span: &Span) -> bool {
    let end = |ids: &mut SpanIds| ids.end = ids.end.or_else(|| Some(SystemTime::now()));
    span.with_subscriber(|(id, dispatch)| with_ids(id, dispatch, end)).flatten().is_some()
}

/// Ends a span that is not entered again, whichever layer records it.
pub(super) fn end_now(span: &Span) {
    if !end(span) {
        // For others it ends when it was left last.
        span.in_scope(|| ());
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
