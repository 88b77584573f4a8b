//! What was received, and what of it was dropped.

use serde::Serialize;

/// Why spans were dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dropped {
    /// Their trace has as many as a trace may have.
    TraceTooLarge,
    /// They came before, byte for byte. No loss, and not counted as one.
    Duplicate,
}

/// What was received and dropped since the start. `received` less `rejected` is what is kept, plus all of `dropped`.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Counts {
    /// Spans that came, with those that were rejected.
    pub(crate) spans: u64,
    /// Metrics' data points and log records, of which none is kept.
    pub(crate) metrics: u64,
    pub(crate) logs: u64,
    /// Traces that had to make room.
    pub(crate) evicted_traces: u64,
    pub(crate) evicted_spans: u64,
    pub(crate) trace_too_large: u64,
    pub(crate) invalid: u64,
    pub(crate) duplicate: u64,
    /// Requests that were refused whole, whatever the reason. Their senders know.
    pub(crate) refused_requests: u64,
}

// === impl Counts ===

impl Counts {
    pub(crate) fn received(&mut self, valid: u64, invalid: u64) {
        self.spans += valid + invalid;
        self.invalid += invalid;
    }

    pub(crate) fn drop_spans(&mut self, reason: Dropped, spans: u64) {
        match reason {
            Dropped::TraceTooLarge => self.trace_too_large += spans,
            Dropped::Duplicate => self.duplicate += spans,
        }
    }

    pub(crate) fn drop_trace(&mut self, spans: u64) {
        self.evicted_traces += 1;
        self.evicted_spans += spans;
    }

    /// Returns how many spans are lost.
    pub(crate) fn lost(&self) -> u64 {
        self.evicted_spans + self.trace_too_large + self.invalid
    }
}
