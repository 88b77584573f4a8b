//! Which of a call's attempts a request is.

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
};

use tracing::Span;

/// What a client says of an attempt in its request's extensions, for the attempt's span.
#[derive(Clone, Debug)]
pub struct AttemptInfo {
    /// 1 for the first, and one more for each retry or hedge.
    pub number: u32,
    /// The replica that it goes to.
    pub peer: Option<SocketAddr>,
    /// Where to leave the span, for who knows later how the attempt compares with others.
    pub span: Option<SpanSlot>,
}

/// Where the span of an attempt is left. Clones share the place.
///
/// The span does not end while it is kept here.
#[derive(Clone, Debug, Default)]
pub struct SpanSlot(Arc<OnceLock<Span>>);

// === impl SpanSlot ===

impl SpanSlot {
    pub(super) fn fill(&self, span: &Span) {
        // A slot is for one attempt; a second one would be another call's.
        let _ = self.0.set(span.clone());
    }

    /// Records a field of the span, if there is one by now.
    pub fn record(&self, field: &'static str, value: &'static str) {
        if let Some(span) = self.0.get() {
            span.record(field, value);
        }
    }
}
