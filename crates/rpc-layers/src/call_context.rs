//! What a request passes to the calls that are made for it.

use std::sync::Arc;

use http::{Extensions, HeaderMap};
use opentelemetry::trace::SpanContext;

use crate::{baggage::Baggage, deadline::Deadline, trace::span_context_of};

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
    parent: Option<TraceParent>,
}

/// The span of the request that calls are made for: the parent of calls whose own span is not exported.
#[derive(Clone, Debug)]
pub(crate) struct TraceParent(pub(crate) SpanContext);

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
        let parent = span_context_of(&tracing::Span::current()).map(TraceParent);
        Self { deadline: extensions.get().copied(), shared: Arc::new(Shared { baggage, parent }) }
    }

    /// Returns the context that [`insert_into`](Self::insert_into) inserted into the extensions of a call.
    pub fn from_extensions(extensions: &Extensions) -> Self {
        let (baggage, parent) = (extensions.get::<Baggage>().cloned(), extensions.get::<TraceParent>().cloned());
        let shared = Shared { baggage: baggage.unwrap_or_default(), parent };
        Self { deadline: extensions.get().copied(), shared: Arc::new(shared) }
    }

    /// Returns the baggage: the part of the context that can change a reply. Identical calls with equal baggage have
    /// the same reply.
    pub fn baggage(&self) -> &Baggage {
        &self.shared.baggage
    }

    /// Inserts the context into the extensions of a call, where the client's deadline and trace layers read it.
    pub fn insert_into(&self, extensions: &mut Extensions) {
        if let Some(deadline) = self.deadline {
            extensions.insert(deadline);
        }
        if !self.shared.baggage.is_empty() {
            extensions.insert(self.shared.baggage.clone());
        }
        if let Some(parent) = &self.shared.parent {
            extensions.insert(parent.clone());
        }
    }
}
