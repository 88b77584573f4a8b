//! What a request passes to the calls that are made for it.

use std::sync::Arc;

use http::{Extensions, HeaderMap};
use opentelemetry::trace::SpanContext;

use crate::{
    baggage::Baggage,
    deadline::Deadline,
    trace::{AttemptInfo, span_context_of},
};

/// The deadline, the baggage and the trace parent of a request, for the calls that are made for it.
///
/// A server takes it with [`of`](Self::of) from each request; a client adds it with [`insert_into`](Self::insert_into)
/// to each call, where [`ClientDeadlineLayer`](crate::deadline::ClientDeadlineLayer) and
/// [`ClientTraceLayer`](crate::trace::ClientTraceLayer) read it. Cloning copies a deadline and a reference.
#[derive(Clone, Debug, Default)]
pub struct CallContext {
    /// The deadline of the calls. `None` for no deadline.
    pub deadline: Option<Deadline>,
    // Shared, because each call keeps a few copies.
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    baggage: Baggage,
    /// The span of the request: the parent of calls whose own span is not exported.
    parent: Option<SpanContext>,
}

/// What the extensions of a call have: one value, because each is two allocations.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) ctx: CallContext,
    /// `None` also once the call's span has it.
    pub(crate) attempt: Option<AttemptInfo>,
}

// === impl CallContext ===

impl CallContext {
    /// Takes the context from a request: the deadline from its extensions, where
    /// [`ServerDeadlineLayer`](crate::deadline::ServerDeadlineLayer) put it, the baggage from its headers, and the
    /// trace parent from the current span.
    pub fn of(extensions: &Extensions, headers: &HeaderMap) -> Self {
        Self::with_baggage(extensions, Baggage::of(headers))
    }

    /// Takes the context from a request as [`of`](Self::of) does, with this baggage in place of the request's.
    pub fn with_baggage(extensions: &Extensions, baggage: Baggage) -> Self {
        let parent = span_context_of(&tracing::Span::current());
        Self { deadline: extensions.get().copied(), shared: Arc::new(Shared { baggage, parent }) }
    }

    /// Returns the context that [`insert_into`](Self::insert_into) inserted into the extensions of a call.
    pub fn from_extensions(extensions: &Extensions) -> Self {
        let ctx = extensions.get::<Outgoing>().map(|outgoing| outgoing.ctx.clone()).unwrap_or_default();
        Self { deadline: deadline_of(extensions), ..ctx }
    }

    /// Returns the baggage: the part of the context that can change a reply. Identical calls with equal baggage have
    /// the same reply.
    pub fn baggage(&self) -> &Baggage {
        &self.shared.baggage
    }

    /// Returns the span of the request that the calls are made for.
    pub(crate) fn parent(&self) -> Option<&SpanContext> {
        self.shared.parent.as_ref()
    }

    /// Inserts the context into the extensions of a call, where the client's deadline and trace layers read it.
    pub fn insert_into(&self, extensions: &mut Extensions) {
        extensions.insert(Outgoing { ctx: self.clone(), attempt: None });
    }

    /// Inserts the context into the extensions of one attempt of a call, which this describes for its span.
    pub fn insert_attempt_into(&self, attempt: AttemptInfo, extensions: &mut Extensions) {
        extensions.insert(Outgoing { ctx: self.clone(), attempt: Some(attempt) });
    }
}

/// Returns the deadline of a call: one by itself in its extensions, or that of its context.
pub(crate) fn deadline_of(extensions: &Extensions) -> Option<Deadline> {
    let of_context = || extensions.get::<Outgoing>()?.ctx.deadline;
    extensions.get().copied().or_else(of_context)
}
