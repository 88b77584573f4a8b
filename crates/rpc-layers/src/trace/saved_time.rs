//! How much time a handler saved, for the log line of its request.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

/// How much time a handler saved by overlapping its calls: a response extension that [`ServerTraceLayer`] logs as
/// `saved_ms`. It may be set until the reply has ended, as in the stream of a streamed reply. Clones share it.
///
/// [`ServerTraceLayer`]: super::ServerTraceLayer
#[derive(Clone, Debug)]
pub struct SavedTime(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Known(Duration),
    Later(Arc<OnceLock<Duration>>),
}

// === impl SavedTime ===

impl SavedTime {
    /// Returns a time that is known already.
    pub fn known(saved: Duration) -> Self {
        Self(Kind::Known(saved))
    }

    /// Sets the time. Does nothing if it is set already.
    pub fn set(&self, saved: Duration) {
        if let Kind::Later(later) = &self.0 {
            let _ = later.set(saved);
        }
    }

    /// Returns the milliseconds, to the microsecond, if they are known.
    pub(super) fn milliseconds(&self) -> Option<f64> {
        let saved = match &self.0 {
            Kind::Known(saved) => Some(saved),
            Kind::Later(later) => later.get(),
        };
        saved.map(|saved| (saved.as_secs_f64() * 1e6).round() / 1e3)
    }
}

impl Default for SavedTime {
    /// Returns a time that is to be set.
    fn default() -> Self {
        Self(Kind::Later(Arc::default()))
    }
}
