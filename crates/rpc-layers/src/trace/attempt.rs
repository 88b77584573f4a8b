//! Which attempt of a call a request is.

use std::sync::{Arc, OnceLock};

use tracing::Span;

/// Describes an attempt for its span. A client adds it to the request with the call's context
/// ([`CallContext::insert_attempt_into`](crate::CallContext::insert_attempt_into)).
#[derive(Clone, Debug)]
pub struct AttemptInfo {
    /// 1 for the first attempt, and one more for each retry or hedge.
    pub number: u32,
    /// Receives the span of the attempt, for fields that are known only later, such as which hedge won.
    pub span: Option<SpanSlot>,
}

/// Holds the span of one attempt, for fields that are recorded later. Clones share the span.
///
/// The span stays open for as long as a clone holds it.
#[derive(Clone, Debug, Default)]
pub struct SpanSlot(Arc<OnceLock<Span>>);

// === impl SpanSlot ===

impl SpanSlot {
    /// Stores the span. Ignored if there is one already: a slot belongs to a single attempt.
    pub(super) fn fill(&self, span: &Span) {
        let _ = self.0.set(span.clone());
    }

    /// Records a field of the span. Ignored if the attempt has not started.
    pub fn record(&self, field: &'static str, value: &'static str) {
        if let Some(span) = self.0.get() {
            span.record(field, value);
        }
    }
}
