//! The span of a wait, which tells whether the wait came to its end.

use tracing::Span;

/// Ends its span when dropped, with `fanout.cancelled` = true unless the wait was [completed](Self::complete).
pub(super) struct WaitSpan(Span);

// === impl WaitSpan ===

impl WaitSpan {
    /// `span` has an empty field `fanout.cancelled`.
    pub(super) fn new(span: Span) -> Self {
        Self(span)
    }

    /// Ends the span of a wait that came to its end.
    pub(super) fn complete(&mut self) {
        self.0 = Span::none();
    }
}

impl Drop for WaitSpan {
    fn drop(&mut self) {
        // on the span of a completed wait, which is none, this does nothing
        self.0.record("fanout.cancelled", true);
    }
}
