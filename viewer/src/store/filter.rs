//! Which traces a list shows.

use std::time::Duration;

use crate::store::trace::{Snapshot, StoredTrace};

/// What a trace has to be like. Everything that is set has to hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    /// It has a span of this service.
    pub(crate) service: Option<String>,
    /// It has a span of this name, of that service if one is set.
    pub(crate) operation: Option<String>,
    pub(crate) min_duration: Option<Duration>,
    pub(crate) max_duration: Option<Duration>,
    /// It has, or has no, span that failed.
    pub(crate) error: Option<bool>,
    pub(crate) min_avoidable: Option<Duration>,
}

// === impl Filter ===

impl Filter {
    /// Returns whether a trace can match, by what is known without decoding it.
    pub(crate) fn may_match(&self, trace: &StoredTrace) -> bool {
        let overview = trace.overview();
        let service = |name: &String| overview.services.iter().any(|service| **service == **name);
        overview.spans > 0
            && self.service.as_ref().is_none_or(service)
            && self.min_duration.is_none_or(|min| overview.duration() >= min)
            && self.max_duration.is_none_or(|max| overview.duration() <= max)
            && self.error.is_none_or(|error| (overview.errors > 0) == error)
            // Joining saves no more than all of it.
            && self.min_avoidable.is_none_or(|min| overview.duration() >= min)
            && self.min_avoidable.is_none_or(|min| trace.brief.as_ref().is_none_or(|brief| brief.avoidable >= min))
    }

    /// Returns whether one of the trace's spans has the operation.
    pub(crate) fn has_operation(&self, trace: &Snapshot) -> bool {
        let Some(operation) = &self.operation else { return true };
        trace.heads().any(|(chunk, head)| {
            self.service.as_ref().is_none_or(|service| *head.source.service == **service)
                && chunk.name(head) == *operation
        })
    }
}
