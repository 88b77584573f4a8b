//! How fast a connection is read: as fast as its calls are worth.
//!
//! Nearly all frames that a connection sends cost the server almost nothing, and begin calls. A peer that wants to keep
//! the server busy sends others: calls that it resets at once, settings that change thousands of windows, pings. Instead
//! of a limit for each of them, the time that it takes to handle what was read is measured. Calls that run earn some, those
//! that are refused little; so do the bytes that calls receive, and the passage of time. A connection that spends more is
//! read more slowly.
//!
//! Calls that are reset before they start cost most of their time when they are accepted and forgotten, after they were read.
//! They earn nothing, and are charged by their number.
//!
//! All connections that are slowed down have the share of four of them together, however many they are.
//!
//! A stream of messages earns by its bytes alone: one of messages of a few bytes, each in a frame of its own, is read at
//! the pace of a connection without calls if it takes more than a tenth of a processor.

use std::time::{Duration, Instant};

use super::calls::Work;

/// How many bytes are read before the calls that they begin are started, and other tasks have a turn.
pub(super) const BURST: usize = 16 << 10;

/// How long a turn takes: then other tasks have theirs, however little was read.
const TURN: Duration = Duration::from_millis(1);

/// How long it should take to handle what is read at once, so that a turn is not much longer than it should be.
const PART: Duration = Duration::from_micros(250);

/// The least that is read at once, in bytes.
const MIN_PART: usize = 512;

/// The time that a connection may spend at once, and the most that it may owe: one that has owed more for a while is not
/// slowed down any longer.
const CREDIT: Duration = Duration::from_millis(100);

/// The credit of a new connection: a fifth, so that a new connection for each few calls is not worth it; but as much as is
/// counted at once.
const FIRST_CREDIT: Duration = MAX_SPENT;

/// What part of a processor a connection may use without end: a tenth.
const SHARE: u32 = 10;

/// The time that a call earns that runs: a hundred times of what it takes to read one.
const EARNED: Duration = Duration::from_millis(1);

/// The time that a call earns that is refused. To read and to answer it is all the work that there is.
const EARNED_REFUSED: Duration = Duration::from_micros(100);

/// What a call costs that is reset before it starts: it is accepted and forgotten. An optimized build was busy with 1.6
/// processors for 100,000 a second, which is 16 µs each, when calls had tasks; without, it is less.
const RESET_COST: Duration = Duration::from_micros(40);

/// How many connections that are slowed down have their whole share.
const WHOLE_SHARES: u32 = 4;

/// How long nothing is read at most, if many are slowed down.
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// The time that a byte earns which a call receives: ten times of what it takes to read one, in frames of usual size.
const EARNED_BYTE: Duration = Duration::from_nanos(10);

/// The longest time that is counted at once. A thread that the system has suspended has not used it.
const MAX_SPENT: Duration = Duration::from_millis(20);

/// How fast a connection is read.
#[derive(Debug)]
pub(super) struct ReadPace {
    part: usize,
    /// How many bytes were read in this turn, and how long it took to handle them.
    turn: (usize, Duration),
    credit: Duration,
    /// What it has spent beyond its credit.
    debt: Duration,
    /// What its calls have earned since it began.
    worth: Duration,
    /// How many of its calls were reset before they started, as far as they are charged.
    reset: u64,
    /// When it earned by the passage of time for the last time.
    earned: Instant,
    /// What part of a processor it may use without end: less than its share while many are slowed down.
    part_of_processor: u32,
}

// === impl ReadPace ===

impl ReadPace {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            part: MIN_PART,
            turn: (0, Duration::ZERO),
            credit: FIRST_CREDIT,
            debt: Duration::ZERO,
            worth: Duration::ZERO,
            reset: 0,
            earned: now,
            part_of_processor: SHARE,
        }
    }

    /// Returns how many bytes may be read at once.
    pub(super) fn part(&self) -> usize {
        self.part
    }

    /// Returns whether other tasks should have a turn. A connection in debt has none: one that sends little at a time
    /// waits after each part, and its turns are short.
    pub(super) fn is_turn_over(&self) -> bool {
        self.turn.0 >= BURST || self.turn.1 >= TURN || !self.debt.is_zero()
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
        self.charge(time.min(MAX_SPENT));
    }

    fn charge(&mut self, time: Duration) {
        self.debt = (self.debt + time.saturating_sub(self.credit)).min(CREDIT);
        self.credit = self.credit.saturating_sub(time);
    }

    /// Counts what it has earned since the last time: by the work that was done for its calls, and by time. Charges it for
    /// those that were reset before they started.
    pub(super) fn earn(&mut self, work: Work, now: Instant) {
        self.charge(times(RESET_COST, work.reset.saturating_sub(self.reset)));
        self.reset = work.reset;
        let passed = now.saturating_duration_since(self.earned) / self.part_of_processor;
        self.earned = now;
        let worth = worth(work);
        let earned = passed.saturating_add(worth.saturating_sub(self.worth));
        // A call that is refused is worth less than it was when it started.
        self.worth = self.worth.max(worth);
        self.credit = (self.credit + earned.saturating_sub(self.debt)).min(CREDIT);
        self.debt = self.debt.saturating_sub(earned);
        if self.debt.is_zero() {
            self.part_of_processor = SHARE;
        }
    }

    /// Returns how long nothing is to be read, if so many other connections are slowed down: until the debt is paid by the
    /// passage of time alone.
    pub(super) fn pause(&mut self, others: usize) -> Option<Duration> {
        if self.debt.is_zero() {
            return None;
        }
        let all = u32::try_from(others).unwrap_or(u32::MAX).saturating_add(1);
        self.part_of_processor = SHARE.saturating_mul(all.div_ceil(WHOLE_SHARES));
        Some(self.debt.saturating_mul(self.part_of_processor).min(MAX_PAUSE))
    }
}

/// Returns what all calls of a connection have earned.
fn worth(Work { started, refused, received, reset: _ }: Work) -> Duration {
    times(EARNED, started.saturating_sub(refused)) + times(EARNED_REFUSED, refused) + times(EARNED_BYTE, received)
}

fn times(each: Duration, number: u64) -> Duration {
    let nanos = u64::try_from(each.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(nanos.saturating_mul(number))
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

    /// Reads this many times. Each takes so long, and the connection has that work then.
    fn read(times: u64, spent: Duration, work: impl Fn(u64) -> Work) -> ReadPace {
        let now = Instant::now();
        let mut pace = ReadPace::new(now);
        for number in 1..=times {
            pace.spend(250, spent);
            pace.earn(work(number), now);
        }
        pace
    }

    #[test]
    fn calls_that_run_pay_for_themselves() {
        let mut pace = read(100_000, EARNED, |started| Work { started, ..Work::default() });
        assert_eq!(pace.pause(0), None);
    }

    #[test]
    fn calls_that_are_refused_pay_for_little() {
        let refused = |started| Work { started, refused: started, ..Work::default() };
        assert_eq!(read(100_000, EARNED_REFUSED, refused).pause(0), None);
        assert!(read(2_000, EARNED_REFUSED * 2, refused).pause(0).is_some());
        let mut pace = read(1_000, EARNED, |started| Work { started, ..Work::default() });
        pace.spend(250, CREDIT / 10);
        let credit = pace.credit;
        pace.earn(Work { started: 1_500, refused: 1_000, ..Work::default() }, pace.earned);
        assert_eq!(pace.credit, credit, "they were worth more until they were refused");
    }

    #[test]
    fn a_stream_of_messages_pays_by_its_bytes() {
        let streamed = |bytes: u64| move |number| Work { started: 1, received: number * bytes, ..Work::default() };
        let spent = Duration::from_micros(100);
        assert_eq!(read(100_000, spent, streamed(10_000)).pause(0), None);
        assert!(read(100_000, spent, streamed(1)).pause(0).is_some());
    }

    /// Returns what part of this time a connection without calls uses, if so many others are slowed down.
    fn share_used(others: usize, time: Duration) -> f64 {
        let begun = Instant::now();
        let (mut now, mut spent, mut pace) = (begun, Duration::ZERO, ReadPace::new(begun));
        while now < begun + time {
            pace.spend(250, TURN);
            (spent, now) = (spent + TURN, now + TURN);
            pace.earn(Work::default(), now);
            while let Some(pause) = pace.pause(others) {
                now += pause;
                pace.earn(Work::default(), now);
            }
        }
        spent.saturating_sub(FIRST_CREDIT).as_secs_f64() / (now - begun).as_secs_f64()
    }

    #[test]
    fn a_connection_without_calls_uses_a_tenth_of_a_processor() {
        let share = share_used(0, Duration::from_mins(1));
        assert!((0.099..=0.101).contains(&share), "{share}");
    }

    #[test]
    fn a_connection_is_not_slowed_down_for_long_after_it_has_spent_much() {
        let mut pace = read(10_000, MAX_SPENT, |_| Work::default());
        let pause = pace.pause(0).unwrap();
        assert_eq!(pause, Duration::from_secs(1));
        pace.earn(Work::default(), pace.earned + pause);
        assert_eq!(pace.pause(0), None);
    }

    #[test]
    fn calls_that_are_reset_before_they_start_are_charged_once() {
        let now = Instant::now();
        let mut pace = ReadPace::new(now);
        let work = Work { reset: 720, ..Work::default() };
        pace.earn(work, now);
        let debt = (RESET_COST * 720).saturating_sub(FIRST_CREDIT);
        assert_eq!(pace.pause(0), Some(debt * SHARE));
        pace.earn(work, now + debt * SHARE);
        assert_eq!(pace.pause(0), None);
    }

    #[test]
    fn many_that_are_slowed_down_have_the_share_of_four() {
        let mut pace = read(10_000, MAX_SPENT, |_| Work::default());
        let pauses = [0, 3, 4, 39, 1_000].map(|others| pace.pause(others).unwrap().as_secs());
        assert_eq!(pauses, [1, 1, 2, 10, 10]);
        for (others, share) in [(0, 0.1), (3, 0.1), (39, 0.01), (399, 0.001)] {
            let used = share_used(others, Duration::from_hours(1));
            assert!((share * 0.99..=share * 1.2).contains(&used), "{others}: {used}");
        }
    }

    #[test]
    fn a_thread_that_was_suspended_is_not_charged_for_it() {
        let now = Instant::now();
        let mut pace = ReadPace::new(now);
        pace.spend(250, Duration::from_mins(1));
        assert_eq!(pace.pause(0), None);
        pace.earn(Work::default(), now + CREDIT * SHARE);
        assert_eq!((pace.credit, pace.debt), (CREDIT, Duration::ZERO));
    }
}
