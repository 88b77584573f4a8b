//! How close two times have to be to count as the same, in one place.
//!
//! | what | at most | why |
//! |---|---|---|
//! | [`hair`] | 1 ms, or 1 % of the earlier call if that is more | what a runtime takes to go on when a call has ended |
//! | [`touch`] | 1 ms, or a tenth of the earlier call if that is less | spans may end a little after what they measure |
//! | [`pause`] | 10 ms, or a quarter of the shorter call if that is more | what a program does between two calls |
//! | [`STICKS_OUT`] | 1 ms | a server's span ends when its reply has left, which may be after it arrived |
//! | [`ends_after`](Interval::ends_after) | 1 ms, or 1 % of the part if that is more | a busy event loop ends spans in any order |

use crate::span::Span;

const MS: u64 = 1_000_000;

/// How far a span may stick out of its parent and still count as a part of it, in nanoseconds.
pub(crate) const STICKS_OUT: u64 = MS;

/// A time from a start to an end, in nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interval {
    pub(crate) start: u64,
    pub(crate) end: u64,
}

/// How one interval lies to one that starts no earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// The first runs on after the second's start for longer than a [`touch`].
    Overlap,
    /// The second starts within a [`hair`] of the first's end.
    WithinHair,
    /// The second starts later than that, within a [`pause`] of the first's end.
    WithinPause,
    /// The second starts later.
    Apart,
}

/// Returns how soon after a call's end the next one starts that has waited for it.
pub(crate) fn hair(earlier: u64) -> u64 {
    MS.max(earlier / 100)
}

/// Returns how long after the next call's start a call may end for which it has waited.
pub(crate) fn touch(earlier: u64) -> u64 {
    MS.min(earlier / 10)
}

/// Returns how long the pause between two calls of one sequence may be.
pub(crate) fn pause(shorter: u64) -> u64 {
    (10 * MS).max(shorter / 4)
}

// === impl Interval ===

impl Interval {
    /// Returns when a span ran.
    pub(crate) fn of(span: &Span) -> Self {
        Self { start: span.start, end: span.end }
    }

    pub(crate) fn nanos(self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Returns the part of it within other times; without length if there is none.
    pub(crate) fn within(self, outer: Self) -> Self {
        let start = self.start.clamp(outer.start, outer.end);
        Self { start, end: self.end.clamp(start, outer.end) }
    }

    /// Returns the shortest interval around both.
    pub(crate) fn around(self, other: Self) -> Self {
        Self { start: self.start.min(other.start), end: self.end.max(other.end) }
    }

    /// Returns whether a part of `outer` starts too early to be one: by more than [`STICKS_OUT`].
    pub(crate) fn starts_before(self, outer: Self) -> bool {
        outer.start.saturating_sub(self.start) > STICKS_OUT
    }

    /// Returns whether a part of `outer` ends so late that `outer` has not waited for it: by more than 1 ms, and more than
    /// 1 % of the part. A busy event loop ends a handler's spans in any order.
    pub(crate) fn ends_after(self, outer: Self) -> bool {
        self.end.saturating_sub(outer.end) > STICKS_OUT.max(self.nanos() / 100)
    }

    /// Returns from when on something that starts may have waited for this one's end.
    pub(crate) fn waited_until(self) -> u64 {
        self.end.saturating_sub(touch(self.nanos()))
    }

    /// Returns whether the other one may have waited for this one's end.
    pub(crate) fn is_before(self, next: Self) -> bool {
        self.waited_until() <= next.start
    }

    /// Returns how an interval that starts no earlier lies to this one.
    pub(crate) fn order(self, next: Self) -> Order {
        let shorter = self.nanos().min(next.nanos());
        let gap = next.start.saturating_sub(self.end);
        if !self.is_before(next) {
            Order::Overlap
        } else if gap <= hair(self.nanos()) {
            Order::WithinHair
        } else if gap <= pause(shorter) {
            Order::WithinPause
        } else {
            Order::Apart
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn order(first: (u64, u64), second: (u64, u64), expected: Order) {
        let interval = |(start, end): (u64, u64)| Interval { start: start * MS / 10, end: end * MS / 10 };
        assert_eq!(interval(first).order(interval(second)), expected);
    }

    #[test]
    fn times_are_compared_by_the_documented_limits() {
        order((0, 1000), (1000, 2000), Order::WithinHair);
        order((0, 1000), (1010, 2000), Order::WithinHair);
        order((0, 1000), (1011, 2000), Order::WithinPause);
        order((0, 1000), (1248, 2000), Order::Apart);
        order((0, 1000), (1187, 2000), Order::WithinPause);
        order((0, 10), (110, 120), Order::WithinPause);
        order((0, 10), (111, 120), Order::Apart);
        order((0, 1000), (990, 2000), Order::WithinHair);
        order((0, 1000), (989, 2000), Order::Overlap);
        order((0, 50), (45, 200), Order::WithinHair);
        order((0, 50), (44, 200), Order::Overlap);
        order((0, 1000), (500, 500), Order::Overlap);
        order((0, 0), (0, 0), Order::WithinHair);
        order((0, 1000), (0, 1000), Order::Overlap);
    }
}
