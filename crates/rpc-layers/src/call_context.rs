//! What a request hands on to the calls that are made for it.

use std::sync::Arc;

use http::{Extensions, HeaderMap, HeaderValue, header::HeaderName};
use opentelemetry::trace::{SpanContext, TraceContextExt as _};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::deadline::Deadline;

/// The W3C Baggage header.
const BAGGAGE: HeaderName = HeaderName::from_static("baggage");

/// A request's deadline and baggage, and its place in its trace, for calls whose own span has none: where no span is
/// exported, only the request's has.
#[derive(Clone, Debug, Default)]
pub struct CallContext {
    /// Until when the caller waits.
    pub deadline: Option<Deadline>,
    // Shared, because each call keeps a few copies on its way.
    context: Arc<Context>,
}

#[derive(Debug, Default)]
struct Context {
    baggage: Baggage,
    parent: Option<TraceParent>,
}

/// The span of the request that calls are made for.
#[derive(Clone, Debug)]
pub(crate) struct TraceParent(pub(crate) SpanContext);

/// W3C Baggage as it came, so that what this process cannot read still reaches the one
/// that can, which then says what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Baggage(Vec<HeaderValue>);

// === impl CallContext ===

impl CallContext {
    /// Takes what the server's deadline layer and the caller's headers say.
    pub fn of(extensions: &Extensions, headers: &HeaderMap) -> Self {
        let baggage = Baggage(headers.get_all(BAGGAGE).iter().cloned().collect());
        let parent = tracing::Span::current().context().span().span_context().clone();
        let parent = parent.is_valid().then_some(TraceParent(parent));
        Self { deadline: extensions.get().copied(), context: Arc::new(Context { baggage, parent }) }
    }

    /// Takes back what [`insert_into`](Self::insert_into) put into the extensions of a call.
    pub fn from_extensions(extensions: &Extensions) -> Self {
        let (baggage, parent) = (extensions.get::<Baggage>().cloned(), extensions.get::<TraceParent>().cloned());
        let context = Context { baggage: baggage.unwrap_or_default(), parent };
        Self { deadline: extensions.get().copied(), context: Arc::new(context) }
    }

    /// What can change an answer: two calls of which it is the same get the same.
    pub fn baggage(&self) -> &Baggage {
        &self.context.baggage
    }

    /// Puts all into the extensions of a call, where the client's deadline and trace
    /// layers find them.
    pub fn insert_into(&self, extensions: &mut Extensions) {
        if let Some(deadline) = self.deadline {
            extensions.insert(deadline);
        }
        if !self.context.baggage.0.is_empty() {
            extensions.insert(self.context.baggage.clone());
        }
        if let Some(parent) = &self.context.parent {
            extensions.insert(parent.clone());
        }
    }
}

// === impl Baggage ===

impl Baggage {
    pub(crate) fn insert_into(&self, headers: &mut HeaderMap) {
        for value in &self.0 {
            headers.append(BAGGAGE, value.clone());
        }
    }
}
