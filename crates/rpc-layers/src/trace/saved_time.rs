//! How much time a handler saved, for the log line of its request.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

/// How much time a handler saved by overlapping its calls: a response extension that [`ServerTraceLayer`] logs as
/// `saved_ms`. It may be set until the reply has ended, as in the stream of a streamed reply. Clones share it.
///
/// [`ServerTraceLayer`]: super::ServerTraceLayer
#[derive(Clone, Debug, Default)]
pub struct SavedTime(Arc<OnceLock<Duration>>);

// === impl SavedTime ===

impl SavedTime {
    /// Returns a time that is known already.
    pub fn known(saved: Duration) -> Self {
        Self(Arc::new(OnceLock::from(saved)))
    }

    /// Sets the time. Does nothing if it is set already.
    pub fn set(&self, saved: Duration) {
        let _ = self.0.set(saved);
    }

    /// Returns the milliseconds, to the microsecond, if they are known.
    pub(super) fn milliseconds(&self) -> Option<f64> {
        self.0.get().map(|saved| (saved.as_secs_f64() * 1e6).round() / 1e3)
    }
}
