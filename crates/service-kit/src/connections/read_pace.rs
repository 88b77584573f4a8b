//! How fast a connection is read: as fast as its calls are worth.
//!
//! Nearly all frames that a connection sends cost the server almost nothing, and begin calls. A peer that wants to keep
//! the server busy sends others: calls that it resets at once, settings that change thousands of windows, pings. Instead
//! of a limit for each of them, the time that it takes to handle what was read is measured. Calls that run earn some, and
//! so does the passage of time. A connection that spends more is read more slowly.

use std::time::{Duration, Instant};

/// How many bytes are read before the calls that they begin are started, and other tasks have a turn.
pub(super) const BURST: usize = 16 << 10;

/// How long a turn takes: then other tasks have theirs, however little was read.
const TURN: Duration = Duration::from_millis(1);

/// How long it should take to handle what is read at once, so that a turn is not much longer than it should be.
const PART: Duration = Duration::from_micros(250);

/// The least that is read at once, in bytes.
const MIN_PART: usize = 512;

/// The time that a connection may spend at once.
const CREDIT: Duration = Duration::from_millis(100);

/// What part of a processor a connection may use without end: a tenth.
const SHARE: u32 = 10;

/// The time that a call earns that runs: a hundred times of what it takes to read one.
const EARNED: Duration = Duration::from_millis(1);

/// The longest time that is counted at once. A thread that the system has suspended has not used it.
const MAX_SPENT: Duration = Duration::from_millis(20);

/// The longest pause.
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// How fast a connection is read.
#[derive(Debug)]
pub(super) struct ReadPace {
    part: usize,
    /// How many bytes were read in this turn, and how long it took to handle them.
    turn: (usize, Duration),
    credit: Duration,
    /// What it has spent beyond its credit.
    debt: Duration,
    /// When it earned by the passage of time for the last time.
    earned: Instant,
}

// === impl ReadPace ===

impl ReadPace {
    pub(super) fn new(now: Instant) -> Self {
        Self { part: MIN_PART, turn: (0, Duration::ZERO), credit: CREDIT, debt: Duration::ZERO, earned: now }
    }

    /// Returns how many bytes may be read at once.
    pub(super) fn part(&self) -> usize {
        self.part
    }

    /// Returns whether other tasks should have a turn.
    pub(super) fn is_turn_over(&self) -> bool {
        self.turn.0 >= BURST || self.turn.1 >= TURN
    }

    /// Begins a new turn.
    pub(super) fn begin_turn(&mut self) {
        self.turn = (0, Duration::ZERO);
    }

    /// Counts what was read, and how long it took to handle it.
    pub(super) fn spend(&mut self, bytes: usize, time: Duration) {
        if time > PART {
            self.part = (self.part / 2).max(MIN_PART);
        } else if bytes >= self.part {
            self.part = (self.part * 2).min(BURST);
        }
        self.turn = (self.turn.0 + bytes, self.turn.1 + time);
        let time = time.min(MAX_SPENT);
        self.debt += time.saturating_sub(self.credit);
        self.credit = self.credit.saturating_sub(time);
    }

    /// Counts what it has earned since the last time: by its calls that have run since then, and by time.
    pub(super) fn earn(&mut self, calls: u32, now: Instant) {
        let passed = now.saturating_duration_since(self.earned) / SHARE;
        self.earned = now;
        let earned = passed.saturating_add(EARNED.saturating_mul(calls));
        self.credit = (self.credit + earned.saturating_sub(self.debt)).min(CREDIT);
        self.debt = self.debt.saturating_sub(earned);
    }

    /// Returns how long nothing is to be read.
    pub(super) fn pause(&self) -> Option<Duration> {
        (!self.debt.is_zero()).then(|| (self.debt * SHARE).min(MAX_PAUSE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_long_is_read_in_small_parts_and_short_turns() {
        let mut pace = ReadPace::new(Instant::now());
        for _ in 0..10 {
            let part = pace.part();
            pace.spend(part, PART / 10);
        }
        assert_eq!((pace.part(), pace.is_turn_over()), (BURST, true), "as usual");
        pace.begin_turn();
        assert!(!pace.is_turn_over());
        for _ in 0..10 {
            pace.spend(1, PART * 2);
        }
        assert_eq!((pace.part(), pace.is_turn_over()), (MIN_PART, true));
        pace.spend(MIN_PART - 1, Duration::ZERO);
        assert_eq!(pace.part(), MIN_PART, "less than might have been read says little");
    }

    #[test]
    fn calls_that_run_pay_for_themselves() {
        let now = Instant::now();
        let mut pace = ReadPace::new(now);
        for _ in 0..100_000 {
            pace.spend(250, EARNED);
            pace.earn(1, now);
        }
        assert_eq!(pace.pause(), None);
    }

    #[test]
    fn a_connection_without_calls_uses_a_tenth_of_a_processor() {
        let begun = Instant::now();
        let (mut now, mut spent, mut pace) = (begun, Duration::ZERO, ReadPace::new(begun));
        while now < begun + Duration::from_mins(1) {
            pace.spend(250, TURN);
            (spent, now) = (spent + TURN, now + TURN);
            pace.earn(0, now);
            if let Some(pause) = pace.pause() {
                now += pause;
                pace.earn(0, now);
                assert_eq!(pace.pause(), None, "the pause was long enough");
            }
        }
        let share = spent.saturating_sub(CREDIT).as_secs_f64() / (now - begun).as_secs_f64();
        assert!((0.099..=0.101).contains(&share), "{share}");
    }

    #[test]
    fn a_thread_that_was_suspended_is_not_charged_for_it() {
        let now = Instant::now();
        let mut pace = ReadPace::new(now);
        pace.spend(250, Duration::from_mins(1));
        assert_eq!(pace.pause(), None);
        pace.earn(0, now + CREDIT * SHARE);
        assert_eq!((pace.credit, pace.debt), (CREDIT, Duration::ZERO));
    }
}
