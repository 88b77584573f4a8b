//! Who gets a permit when there are few.
//!
//! Up to the limit, everybody does: a caller that is alone may have all permits. When all are taken, a quarter more are
//! kept for callers that have few. So one that has taken all of them, and whose calls do not end, does not lock the
//! others out; and as its calls end, the others come to their share.
//!
//! What a caller may have of that reserve falls with what is left of it, as switches share their buffers ("Dynamic queue
//! length thresholds", Choudhury and Hahne, 1998). However many callers take what they can, something is left for one
//! that comes later. Nothing depends on who was rejected before, or on time.

/// Which part of the limit is the reserve: a quarter.
const RESERVE: usize = 4;

/// How many permits there are, for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// How many permits a caller that is alone may have.
    pub(crate) max: usize,
    /// How many permits a caller may have when all of the reserve is left.
    pub(crate) share: usize,
    /// How many more permits there are for callers that have few.
    pub(crate) reserve: usize,
}

/// Why there is no permit for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exceeded<C> {
    /// There are none for anybody, or this caller has all of them.
    All,
    /// This caller has more than its share.
    Share(C),
}

// === impl Limits ===

impl Limits {
    /// Returns the limits for `max` permits, of which a caller's share is this percentage.
    pub(crate) fn new(max: usize, max_share: u8) -> Self {
        let share = max.saturating_mul(usize::from(max_share.min(100))) / 100;
        Self { max, share: share.max(1), reserve: max / RESERVE }
    }

    /// Decides whether a request gets this number of permits. `held` has how many each of its callers has.
    ///
    /// # Errors
    ///
    /// Returns an error if it does not: with the caller that has the most.
    pub(crate) fn admit<C>(
        &self,
        permits: usize,
        used: usize,
        held: impl Iterator<Item = (C, usize)>,
    ) -> Result<(), Exceeded<C>> {
        let after = used.saturating_add(permits);
        if after <= self.max {
            return Ok(());
        }
        let Some(left) = self.max.saturating_add(self.reserve).checked_sub(after) else { return Err(Exceeded::All) };
        let (mut most, mut has_everything) = (None, false);
        for (caller, held) in held {
            // A caller that has everything says nothing about the others: as a proxy, with all of them behind it. But these
            // may be connections of one that has as many as it likes: half of the reserve is left for another.
            if held == used {
                has_everything = true;
            } else if most.as_ref().is_none_or(|(_, most)| *most < held) {
                most = Some((caller, held));
            }
        }
        let Some((caller, held)) = most else { return Err(Exceeded::All) };
        if has_everything && left < self.reserve / 2 {
            return Err(Exceeded::All);
        }
        let allowance = self.share.saturating_mul(left) / self.reserve;
        if held.saturating_add(permits) <= allowance.max(1) { Ok(()) } else { Err(Exceeded::Share(caller)) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    /// Callers that take permits by the rule.
    struct Taken {
        limits: Limits,
        held: HashMap<u8, usize>,
    }

    impl Taken {
        fn new(max: usize, max_share: u8) -> Self {
            Self { limits: Limits::new(max, max_share), held: HashMap::new() }
        }

        fn used(&self) -> usize {
            self.held.values().sum()
        }

        fn held(&self, caller: u8) -> usize {
            self.held.get(&caller).copied().unwrap_or_default()
        }

        fn take(&mut self, caller: u8, permits: usize) -> Result<(), Exceeded<u8>> {
            let held = std::iter::once((caller, self.held(caller)));
            self.limits.admit(permits, self.used(), held)?;
            *self.held.entry(caller).or_default() += permits;
            Ok(())
        }

        fn release(&mut self, caller: u8) {
            if let Some(held) = self.held.get_mut(&caller) {
                *held = held.saturating_sub(1);
            }
        }

        /// Takes one permit after the other until there is none for this caller.
        fn take_all(&mut self, caller: u8) -> Exceeded<u8> {
            loop {
                if let Err(exceeded) = self.take(caller, 1) {
                    return exceeded;
                }
            }
        }
    }

    #[test]
    fn many_connections_of_one_address_leave_something_for_another() {
        let (limits, mut used) = (Limits::new(400, 25), 0);
        // Each has a connection of its own.
        while limits.admit(1, used, [('c', 0), ('a', used)].into_iter()).is_ok() {
            used += 1;
        }
        assert_eq!(used, 450);
        limits.admit(1, used, [('d', 0), ('b', 0)].into_iter()).unwrap();
    }

    #[test]
    fn a_caller_that_is_alone_has_everything_and_the_next_a_share_of_the_reserve() {
        let mut taken = Taken::new(400, 25);
        assert_eq!(taken.take_all(0), Exceeded::All);
        assert_eq!(taken.held(0), 400);
        assert_eq!(taken.take_all(1), Exceeded::Share(1));
        assert_eq!(taken.held(1), 50, "as many as are left");
        assert_eq!(taken.take(0, 1), Err(Exceeded::Share(0)));
        taken.take_all(2);
        assert_eq!(taken.held(2), 25);
        assert_eq!(taken.used(), 475, "something is left");
    }

    #[test]
    fn what_the_greedy_caller_releases_goes_to_the_others() {
        let mut taken = Taken::new(400, 25);
        taken.take_all(0);
        for _ in 0..1000 {
            taken.release(0);
            let _ = taken.take(0, 1);
            let _ = taken.take(1, 1);
        }
        // The greedy one keeps what the other does not need.
        assert!(taken.held(1) >= 95, "{:?}", taken.held);
        assert!(taken.held(0) + taken.held(1) >= 400, "{:?}", taken.held);
    }

    #[test]
    fn a_small_limit_has_no_reserve() {
        for max in 1..4 {
            let mut taken = Taken::new(max, 25);
            taken.take_all(0);
            assert_eq!((taken.used(), taken.take(1, 1)), (max, Err(Exceeded::All)));
        }
    }

    #[test]
    fn the_caller_with_the_most_decides_unless_it_has_everything() {
        let limits = Limits::new(400, 25);
        let admit = |held: &[(&'static str, usize)]| limits.admit(1, 410, held.iter().copied());
        // A connection of a proxy that everybody comes through.
        assert_eq!(admit(&[("connection", 3), ("address", 410)]), Ok(()));
        assert_eq!(admit(&[("connection", 3), ("address", 400)]), Err(Exceeded::Share("address")));
        assert_eq!(admit(&[("connection", 400), ("address", 410)]), Err(Exceeded::Share("connection")));
        assert_eq!(admit(&[]), Err(Exceeded::All), "nobody is known");
    }

    proptest! {
        #[test]
        fn the_last_permit_goes_only_to_a_caller_that_has_none(
            max in 1_usize..300,
            max_share in 1_u8..=100,
            steps in proptest::collection::vec((0_u8..12, 1_usize..20, any::<bool>()), 0..600),
        ) {
            let mut taken = Taken::new(max, max_share);
            let (limit, most) = (max + max / RESERVE, taken.limits.share);
            for (caller, permits, is_end) in steps {
                let (used, held) = (taken.used(), taken.held(caller));
                if is_end {
                    taken.release(caller);
                } else if taken.take(caller, permits.min(most)).is_ok() {
                    prop_assert!(taken.used() <= limit);
                    prop_assert!(taken.used() < limit || held == 0 || limit == max);
                } else {
                    prop_assert!(used + permits.min(most) > max, "refused although there are enough");
                }
            }
            // So that a thirteenth caller is served, unless the last of the twelve has just taken it.
            if taken.used() < limit {
                prop_assert_eq!(taken.take(12, 1), Ok(()));
            }
        }

        #[test]
        fn whoever_has_more_is_refused_first(
            used in 0_usize..600,
            (less, more) in (0_usize..300, 0_usize..300),
            max_share in 1_u8..=100,
        ) {
            let limits = Limits::new(400, max_share);
            let admit = |held: usize| limits.admit(1, used, std::iter::once(((), held)));
            prop_assume!(less <= more && more < used);
            prop_assert!(admit(more).is_err() || admit(less).is_ok());
        }
    }
}
