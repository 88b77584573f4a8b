//! The span of a wait, marked if the wait was cut short.

use tracing::Span;

/// Ends its span when dropped, with `fanout.cancelled` = true unless the wait was [completed](Self::complete).
pub(super) struct WaitSpan(Span);

// === impl WaitSpan ===

impl WaitSpan {
    /// Guards `span`, which has an empty field `fanout.cancelled`.
    pub(super) fn new(span: Span) -> Self {
        Self(span)
    }

    /// Ends the span without the mark.
    pub(super) fn complete(&mut self) {
        self.0 = Span::none();
    }
}

impl Drop for WaitSpan {
    fn drop(&mut self) {
        // Does nothing after `complete`, which left no span.
        self.0.record("fanout.cancelled", true);
    }
}
