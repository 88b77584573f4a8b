//! A point in time after which a reply is of no use.

use std::{fmt, time::Duration};

use tokio::time::Instant;

/// The longest timeout of [`Deadline::after`]: a year, in practice never. Keeps the sum within the range of the clock.
const HORIZON: Duration = Duration::from_hours(365 * 24);

/// The largest reserve of [`Deadline::less_reserve`].
const MAX_RESERVE: Duration = Duration::from_millis(20);

/// The point in time after which the reply to a request is of no use, on tokio's monotonic clock.
///
/// Stored in the extensions of requests: [`ServerDeadlineLayer`](super::ServerDeadlineLayer) puts it there for the
/// handler, the handler puts it there for [`ClientDeadlineLayer`](super::ClientDeadlineLayer).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Deadline(Instant);

// === impl Deadline ===

impl Deadline {
    /// Returns the deadline at `instant`.
    pub fn at(instant: Instant) -> Self {
        Self(instant)
    }

    /// Returns the deadline `timeout` from now, at most a year away.
    pub fn after(timeout: Duration) -> Self {
        Self::of(timeout, Instant::now())
    }

    /// Returns the deadline of a `timeout` that began at `start`, at most a year later.
    pub(super) fn of(timeout: Duration, start: Instant) -> Self {
        Self(start + timeout.min(HORIZON))
    }

    /// Returns the instant, such as for [`tokio::time::timeout_at`].
    pub fn instant(self) -> Instant {
        self.0
    }

    /// Returns the time left. Zero after the deadline.
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Returns whether the deadline has passed.
    pub fn is_past(self) -> bool {
        self.0 <= Instant::now()
    }

    /// Returns the earlier of two deadlines.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        Self(self.0.min(other.0))
    }

    /// Returns the deadline for calls made on behalf of a request with this one: earlier by a reserve for composing the
    /// reply, which is a tenth of the time left and at most 20 ms.
    #[must_use]
    pub fn less_reserve(self) -> Self {
        let left = self.remaining();
        Self(self.0.checked_sub(reserve_of(left)).unwrap_or(self.0))
    }
}

impl From<Instant> for Deadline {
    fn from(instant: Instant) -> Self {
        Self(instant)
    }
}

/// Returns the reserve for composing the reply.
fn reserve_of(left: Duration) -> Duration {
    (left / 10).min(MAX_RESERVE)
}

/// Formats a duration for messages: milliseconds with at most three decimals, as in `100 ms` or `0.25 ms`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Millis(pub(super) Duration);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros();
        write!(f, "{}", micros / 1000)?;
        match micros % 1000 {
            0 => {}
            fraction => write!(f, ".{}", format!("{fraction:03}").trim_end_matches('0'))?,
        }
        f.write_str(" ms")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserve_is_a_tenth_and_at_most_20_ms() {
        for (left, reserve) in [(0, 0), (10, 1), (100, 10), (199, 19), (200, 20), (3_000, 20), (3_600_000, 20)] {
            let expected = Duration::from_millis(reserve);
            let actual = reserve_of(Duration::from_millis(left));
            assert!(actual.abs_diff(expected) < Duration::from_millis(1), "{left} ms: {actual:?}");
            assert!(actual <= MAX_RESERVE);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn remaining_runs_down_to_zero() {
        let deadline = Deadline::after(Duration::from_millis(100));
        assert_eq!(deadline.remaining(), Duration::from_millis(100));
        assert_eq!(deadline.less_reserve().remaining(), Duration::from_millis(90));
        tokio::time::advance(Duration::from_millis(99)).await;
        assert!(!deadline.is_past());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(deadline.is_past());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(deadline.remaining(), Duration::ZERO);
        assert_eq!(deadline.less_reserve(), deadline, "a past deadline has no reserve");
    }

    #[tokio::test(start_paused = true)]
    async fn no_timeout_overflows() {
        let never = Deadline::after(Duration::MAX);
        assert_eq!(never.remaining(), HORIZON);
        let soon = Deadline::after(Duration::from_secs(1));
        assert_eq!(never.min(soon), soon);
        assert_eq!(soon.min(never), soon);
    }

    #[test]
    fn millis_are_short() {
        for (nanos, text) in [(0, "0 ms"), (100_000_000, "100 ms"), (250_000, "0.25 ms"), (1_001_999, "1.001 ms")] {
            assert_eq!(Millis(Duration::from_nanos(nanos)).to_string(), text);
        }
    }
}
