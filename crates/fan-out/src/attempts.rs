//! How often a call was sent.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

/// Counts how often a call was really sent, and how much of that was hedging.
///
/// Clones share one count. A client that retries, hedges or refuses to send keeps it;
/// a call without one counts as sent once when it starts.
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
    /// Counts one more that was sent, and returns its number: 1 for the first.
    pub fn add(&self) -> u32 {
        self.0.sent.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Notes that one of those sent was a hedge: a second one beside a first that is late.
    pub fn add_hedge(&self) {
        self.0.hedges.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that the answer was a hedge's.
    pub fn hedge_won(&self) {
        self.0.hedge_won.store(true, Ordering::Relaxed);
    }

    /// How many there were.
    pub fn get(&self) -> u32 {
        self.0.sent.load(Ordering::Relaxed)
    }

    /// How many of them were hedges.
    pub fn hedges(&self) -> u32 {
        self.0.hedges.load(Ordering::Relaxed)
    }

    /// Whether a hedge answered.
    pub fn is_hedge_won(&self) -> bool {
        self.0.hedge_won.load(Ordering::Relaxed)
    }
}
