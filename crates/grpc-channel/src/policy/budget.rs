//! How many retries and hedges may be sent.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// How long a call counts.
const WINDOW: Duration = Duration::from_secs(SLOTS as u64);

/// The window moves in steps of a second.
const SLOTS: usize = 10;

/// How many retries or hedges may be sent.
#[derive(Debug)]
pub(crate) struct Budget(Mutex<Kind>);

#[derive(Debug)]
enum Kind {
    Window(Window),
    Tokens(Tokens),
}

/// A share of the calls of the last ten seconds, and so many a second besides. The ten seconds' worth of the latter may be
/// spent at once.
#[derive(Debug)]
struct Window {
    share: f64,
    floor: u32,
    slots: [Slot; SLOTS],
    /// The end of the current slot.
    slot_ends: Instant,
    current: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    deposits: u32,
    withdrawals: u32,
}

/// gRPC's `retryThrottling` (gRFC A6): failures cost a token, successes pay back a part of one, and retries are allowed
/// while more than half of the tokens are there.
#[derive(Clone, Copy, Debug)]
struct Tokens {
    left: f64,
    max: f64,
    ratio: f64,
}

// === impl Budget ===

impl Budget {
    /// Allows a `share` of the calls that paid in within the last ten seconds, and `floor` a second besides.
    pub(crate) fn share(share: f32, floor: u32) -> Self {
        Self(Mutex::new(Kind::Window(Window {
            share: share.into(),
            floor,
            slots: [Slot::default(); SLOTS],
            slot_ends: Instant::now() + WINDOW / 10,
            current: 0,
        })))
    }

    /// Allows what gRPC's `retryThrottling` does with these settings.
    pub(crate) fn tokens(max: f64, ratio: f64) -> Self {
        Self(Mutex::new(Kind::Tokens(Tokens { left: max, max, ratio })))
    }

    /// A call that may be hedged started: a share of these may be. Tokens are paid back by successes alone.
    pub(crate) fn started(&self) {
        if let Kind::Window(window) = &mut *self.0.lock() {
            window.current_slot(Instant::now()).deposits += 1;
        }
    }

    /// A call succeeded.
    pub(crate) fn deposit(&self) {
        match &mut *self.0.lock() {
            Kind::Window(window) => window.current_slot(Instant::now()).deposits += 1,
            Kind::Tokens(tokens) => tokens.left = (tokens.left + tokens.ratio).min(tokens.max),
        }
    }

    /// An attempt failed in a way that another one may mend.
    pub(crate) fn failed(&self) {
        if let Kind::Tokens(tokens) = &mut *self.0.lock() {
            tokens.left = (tokens.left - 1.0).max(0.0);
        }
    }

    /// Returns whether one more retry or hedge may be sent. If so, it is counted.
    #[must_use]
    pub(crate) fn withdraw(&self) -> bool {
        match &mut *self.0.lock() {
            Kind::Window(window) => window.withdraw(Instant::now()),
            Kind::Tokens(tokens) => tokens.left > tokens.max / 2.0,
        }
    }
}

// === impl Window ===

impl Window {
    fn withdraw(&mut self, now: Instant) -> bool {
        self.current_slot(now);
        let (deposits, withdrawals) = self.slots.iter().fold((0_u32, 0_u32), |(deposits, withdrawals), slot| {
            (deposits.saturating_add(slot.deposits), withdrawals.saturating_add(slot.withdrawals))
        });
        let allowed = f64::from(deposits) * self.share + f64::from(self.floor) * WINDOW.as_secs_f64();
        // Shares such as a fifth have no exact binary form: five calls have to pay for one retry all the same.
        let is_allowed = f64::from(withdrawals) + 1.0 <= allowed + 1e-3;
        self.slots[self.current].withdrawals += u32::from(is_allowed);
        is_allowed
    }

    /// Returns the slot of `now`, after forgetting those that left the window.
    fn current_slot(&mut self, now: Instant) -> &mut Slot {
        let step = WINDOW / 10;
        let mut forgotten = 0;
        while now >= self.slot_ends && forgotten < SLOTS {
            self.current = (self.current + 1) % SLOTS;
            self.slots[self.current] = Slot::default();
            self.slot_ends += step;
            forgotten += 1;
        }
        if now >= self.slot_ends {
            // All were forgotten: the steps between do not matter.
            self.slot_ends = now + step;
        }
        &mut self.slots[self.current]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns how many retries a budget allows in so many seconds.
    async fn spent(budget: &Budget, seconds: u64) -> u32 {
        let until = Instant::now() + Duration::from_secs(seconds);
        let mut spent = 0;
        while Instant::now() < until {
            spent += u32::from(budget.withdraw());
            // No step ends where a slot does: that would hide what happens in between.
            tokio::time::advance(Duration::from_millis(7)).await;
        }
        spent
    }

    fn at_once(budget: &Budget) -> usize {
        std::iter::repeat_with(|| budget.withdraw()).take_while(|allowed| *allowed).count()
    }

    #[tokio::test(start_paused = true)]
    async fn the_floor_is_so_many_a_second_even_or_odd() {
        for floor in [1, 4, 7] {
            let all = spent(&Budget::share(0.2, floor), 100).await;
            // Ten seconds' worth is there at once, and no more than that in any ten seconds.
            assert!(all <= 10 * 10 * floor && all >= 9 * 10 * floor, "{floor}: {all} in 100 s");
        }
        assert_eq!(spent(&Budget::share(0.2, 0), 100).await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_share_is_what_it_says() {
        for (share, of_hundred) in
            [(0.0, 0), (0.05, 5), (0.2, 20), (0.3, 30), (0.4, 40), (0.6, 60), (0.7, 70), (1.0, 100)]
        {
            let budget = Budget::share(share, 0);
            (0..100).for_each(|_| budget.deposit());
            assert_eq!(at_once(&budget), of_hundred, "{share}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_counts_for_ten_seconds() {
        let budget = Budget::share(0.2, 0);
        (0..100).for_each(|_| budget.deposit());
        tokio::time::advance(Duration::from_millis(8_900)).await;
        assert!(budget.withdraw());
        tokio::time::advance(Duration::from_millis(1_200)).await;
        assert!(!budget.withdraw());
        tokio::time::advance(Duration::from_hours(1)).await;
        budget.deposit();
        assert!(!budget.withdraw(), "a fifth of one call is none");
    }

    #[tokio::test(start_paused = true)]
    async fn tokens_allow_retries_while_more_than_half_are_there() {
        let budget = Budget::tokens(10.0, 0.5);
        (0..4).for_each(|_| budget.failed());
        assert!(budget.withdraw(), "six of ten");
        budget.failed();
        assert!(!budget.withdraw(), "five of ten");
        budget.deposit();
        assert!(budget.withdraw(), "five and a half");
        (0..100).for_each(|_| budget.deposit());
        (0..4).for_each(|_| budget.failed());
        assert!(budget.withdraw(), "there are never more than ten");
        (0..100).for_each(|_| budget.failed());
        (0..10).for_each(|_| budget.deposit());
        assert!(!budget.withdraw(), "nor fewer than none");
    }
}
