//! What the handlers of a server saw.

use std::sync::Arc;

use http::HeaderMap;
use parking_lot::Mutex;
use tokio::sync::watch;

/// Counts calls and keeps the headers of the last one. Clones share the counts.
#[derive(Clone, Debug)]
pub struct CallLog {
    counts: watch::Sender<Counts>,
    headers: Arc<Mutex<HeaderMap>>,
}

/// How many calls began and ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls that reached a handler.
    pub begun: usize,
    /// Calls that ended with a reply or a status.
    pub ended: usize,
    /// Calls whose handler was dropped before: their caller reset them.
    pub cancelled: usize,
    /// Request messages that were read.
    pub messages: usize,
}

/// Counts a call as cancelled if it is dropped before the call has ended.
#[derive(Debug)]
pub(crate) struct CallGuard {
    log: CallLog,
    ended: bool,
}

// === impl CallLog ===

impl CallLog {
    pub(crate) fn new() -> Self {
        Self { counts: watch::Sender::default(), headers: Arc::default() }
    }

    /// Returns the counts as they are now.
    pub fn counts(&self) -> Counts {
        *self.counts.borrow()
    }

    /// Returns the value of a header of the last call.
    ///
    /// # Panics
    ///
    /// Panics if it is not ASCII.
    pub fn header(&self, name: &str) -> Option<String> {
        let headers = self.headers.lock();
        headers.get(name).map(|value| value.to_str().expect("the tests send ASCII").to_owned())
    }

    /// Waits until the counts are as `predicate` says. Cancel safe.
    #[allow(clippy::missing_panics_doc, reason = "it holds the sender")]
    pub async fn wait_for(&self, predicate: impl Fn(&Counts) -> bool) -> Counts {
        *self.counts.subscribe().wait_for(|counts| predicate(counts)).await.expect("the log holds the sender")
    }

    /// Returns how many calls have not ended.
    pub fn open(&self) -> usize {
        self.counts().open()
    }

    pub(crate) fn begin(&self, headers: HeaderMap) -> CallGuard {
        *self.headers.lock() = headers;
        self.counts.send_modify(|counts| counts.begun += 1);
        CallGuard { log: self.clone(), ended: false }
    }

    pub(crate) fn message(&self) {
        self.counts.send_modify(|counts| counts.messages += 1);
    }
}

// === impl Counts ===

impl Counts {
    /// Returns how many calls have not ended.
    pub fn open(self) -> usize {
        self.begun - self.ended - self.cancelled
    }
}

// === impl CallGuard ===

impl CallGuard {
    pub(crate) fn end(mut self) {
        self.ended = true;
    }
}

impl Drop for CallGuard {
    fn drop(&mut self) {
        let ended = self.ended;
        self.log.counts.send_modify(|counts| if ended { counts.ended += 1 } else { counts.cancelled += 1 });
    }
}
