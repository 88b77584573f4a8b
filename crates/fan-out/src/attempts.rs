//! How often a call was sent.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

/// Counts how often a call was sent, and how many of the attempts were hedges.
///
/// Clones share one count. A client that retries, hedges or rejects calls updates it. A
/// call without a count is reported as sent once if it started.
#[derive(Clone, Debug, Default)]
pub struct Attempts(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    sent: AtomicU32,
    hedges: AtomicU32,
    hedge_won: AtomicBool,
}

// === impl Attempts ===

impl Attempts {
    /// Counts one more attempt and returns its number: 1 for the first.
    pub fn add(&self) -> u32 {
        self.0.sent.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Counts one of the attempts as a hedge: sent while an earlier attempt was still running.
    pub fn add_hedge(&self) {
        self.0.hedges.fetch_add(1, Ordering::Relaxed);
    }

    /// Records that the reply came from a hedge.
    pub fn hedge_won(&self) {
        self.0.hedge_won.store(true, Ordering::Relaxed);
    }

    /// Returns the number of attempts.
    pub fn get(&self) -> u32 {
        self.0.sent.load(Ordering::Relaxed)
    }

    /// Returns the number of attempts that were hedges.
    pub fn hedges(&self) -> u32 {
        self.0.hedges.load(Ordering::Relaxed)
    }

    /// Returns `true` if the reply came from a hedge.
    pub fn is_hedge_won(&self) -> bool {
        self.0.hedge_won.load(Ordering::Relaxed)
    }
}
