//! A limit on wrong tokens.
//!
//! To check a signature takes longer than anything else that happens before a request is let in. Who sends nothing but
//! wrong tokens would have a core do nothing else.

use std::{
    hash::{BuildHasher as _, RandomState},
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use rpc_layers::peer::network;

/// How many wrong tokens of one address are checked in a second.
const MAX_PER_SECOND: u32 = 100;

/// How many addresses are told apart. Others share the count of one of them; nobody can choose with whom.
const SLOTS: usize = 4096;

/// Counts the wrong tokens of each address in this second, in memory of a fixed size.
#[derive(Debug)]
pub(super) struct Attempts {
    begun: Instant,
    hasher: RandomState,
    /// A second in the upper half, and the count of that second in the lower.
    slots: Box<[AtomicU64]>,
}

// === impl Attempts ===

impl Attempts {
    pub(super) fn new() -> Self {
        let slots = std::iter::repeat_with(AtomicU64::default).take(SLOTS).collect();
        Self { begun: Instant::now(), hasher: RandomState::new(), slots }
    }

    /// Returns whether another token of this address may be checked.
    pub(super) fn may_check(&self, address: Option<IpAddr>, now: Instant) -> bool {
        let (second, count) = halves(self.slot(address).load(Ordering::Relaxed));
        second != self.second(now) || count < MAX_PER_SECOND
    }

    /// Counts a wrong token.
    pub(super) fn add(&self, address: Option<IpAddr>, now: Instant) {
        let now = self.second(now);
        let added = |value| {
            let (second, count) = halves(value);
            let count = if second == now { count.saturating_add(1) } else { 1 };
            Some(u64::from(now) << 32 | u64::from(count))
        };
        let relaxed = Ordering::Relaxed;
        let _ = self.slot(address).fetch_update(relaxed, relaxed, added);
    }

    fn slot(&self, address: Option<IpAddr>) -> &AtomicU64 {
        let hash = self.hasher.hash_one(address.map(network));
        let index = usize::try_from(hash % SLOTS as u64).unwrap_or_default();
        &self.slots[index]
    }

    /// Returns the number of the second, from 1: 0 is that of a slot that was never used.
    fn second(&self, now: Instant) -> u32 {
        let seconds = now.saturating_duration_since(self.begun) + Duration::from_secs(1);
        u32::try_from(seconds.as_secs()).unwrap_or(u32::MAX)
    }
}

fn halves(value: u64) -> (u32, u32) {
    let half = |value: u64| u32::try_from(value & u64::from(u32::MAX)).unwrap_or_default();
    (half(value >> 32), half(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_tokens_of_an_address_are_limited_in_each_second() {
        let (attempts, begun) = (Attempts::new(), Instant::now());
        let address = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        let attacker = address("2001:db8::1");
        for _ in 0..MAX_PER_SECOND {
            assert!(attempts.may_check(attacker, begun));
            attempts.add(attacker, begun);
        }
        assert!(!attempts.may_check(attacker, begun));
        assert!(!attempts.may_check(address("2001:db8::2"), begun), "the same network");
        let others = (1..=200_u8).filter(|last| !attempts.may_check(address(&format!("192.0.2.{last}")), begun));
        assert!(others.count() <= 2, "others hardly ever share its slot");
        assert!(attempts.may_check(attacker, begun + Duration::from_secs(1)));
        attempts.add(attacker, begun + Duration::from_secs(1));
        assert!(attempts.may_check(attacker, begun + Duration::from_secs(1)), "the count begins anew");
    }
}
