//! Deadlines: when a request's answer stops being of use to whoever asked.
//!
//! A [`Deadline`] is a point on this process's monotonic clock. It reaches a server as the header `grpc-timeout`, which says
//! how long is left, not when it ends, so no clock skew between machines matters.
//! [`ServerDeadlineLayer`] turns the header into the request extension [`Deadline`] and holds the handler to it;
//! [`ClientDeadlineLayer`] takes the extension of an outgoing request and does the same for the call, waiting included.
//!
//! Both answer `DEADLINE_EXCEEDED`, never CANCELLED, which is what tonic's own timers say.
//!
//! # Layout
//!
//! ```text
//! grpc_timeout.rs  the header's codec
//! timer.rs         the wait for a deadline that the layers and their bodies share
//! server.rs        ServerDeadlineLayer; server/body.rs ends a reply that streams past the deadline
//! client.rs        ClientDeadlineLayer; client/body.rs ends a reply that stalls, client/expiry.rs tells a late call from a cancelled one
//! ```

use std::time::Duration;

use tokio::time::Instant;

mod client;
mod grpc_timeout;
mod server;
mod timer;

pub use self::client::{ClientDeadline, ClientDeadlineLayer};
pub use self::grpc_timeout::{GRPC_TIMEOUT, InvalidGrpcTimeout, from_headers as timeout_of};
pub use self::server::{ServerDeadline, ServerDeadlineLayer};

/// The longest time [`Deadline::after`] looks ahead: a year, in practice never. It keeps the sum below the clock's end.
const HORIZON: Duration = Duration::from_hours(365 * 24);

/// The most that [`Deadline::less_reserve`] keeps back.
const MAX_RESERVE: Duration = Duration::from_millis(20);

/// How long the caller waits, by the header; nothing where it is missing or malformed.
pub(crate) fn caller_timeout(headers: &http::HeaderMap) -> Option<Duration> {
    grpc_timeout::from_headers(headers).ok().flatten()
}

/// The moment at which the answer to a request is of no more use, on tokio's monotonic clock.
///
/// Stored in the extensions of a request: by [`ServerDeadlineLayer`] in the one a handler gets, by the handler in those it sends on
/// through [`ClientDeadlineLayer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Deadline(Instant);

// === impl Deadline ===

impl Deadline {
    /// The deadline at `instant`.
    pub fn at(instant: Instant) -> Self {
        Self(instant)
    }

    /// The deadline `timeout` from now, at most a year away.
    pub fn after(timeout: Duration) -> Self {
        Self(Instant::now() + timeout.min(HORIZON))
    }

    /// The moment itself, for `tokio::time::timeout_at` and friends.
    pub fn instant(self) -> Instant {
        self.0
    }

    /// What is left until the deadline; zero once it is past.
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Whether nothing is left.
    pub fn is_past(self) -> bool {
        self.0 <= Instant::now()
    }

    /// The earlier of the two.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        Self(self.0.min(other.0))
    }

    /// The deadline to hand to calls made on behalf of this one: earlier by a small reserve for composing the reply,
    /// a tenth of what is left now and at most 20 ms.
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

/// How much of `left` is kept back for composing the reply.
fn reserve_of(left: Duration) -> Duration {
    (left / 10).min(MAX_RESERVE)
}

/// A duration for a person to read: milliseconds with at most three decimals, as in `100 ms` or `0.25 ms`.
#[derive(Clone, Copy, Debug)]
struct Millis(Duration);

impl std::fmt::Display for Millis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
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
        assert_eq!(deadline.less_reserve(), deadline, "a past deadline has nothing to keep back");
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
