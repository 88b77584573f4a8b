//! How long to wait before trying again.

use std::time::Duration;

/// Waits that grow from one try to the next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Backoff {
    /// The longest wait before the second try.
    pub(crate) initial: Duration,
    /// The longest wait before any try.
    pub(crate) max: Duration,
    /// By what the longest wait grows with each try.
    pub(crate) multiplier: f32,
    pub(crate) jitter: Jitter,
}

/// How waits differ between callers, so that they do not come back all at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Jitter {
    /// Any wait between none and the longest. Spreads callers the widest and needs the fewest calls in all (Brooker,
    /// "Exponential Backoff And Jitter", 2015).
    Full,
    /// The longest wait, give or take a fifth (gRFC A6).
    Fifth,
}

// === impl Backoff ===

impl Backoff {
    /// Returns waits that double from `initial` up to `max`, with full jitter.
    pub(crate) const fn doubling(initial: Duration, max: Duration) -> Self {
        Self { initial, max, multiplier: 2.0, jitter: Jitter::Full }
    }

    /// Returns the wait before try number `n` after the first, from 1.
    pub(crate) fn wait(&self, n: u32) -> Duration {
        let longest = self.longest(n);
        longest.mul_f64(match self.jitter {
            Jitter::Full => rand::random::<f64>(),
            Jitter::Fifth => 0.8 + 0.4 * rand::random::<f64>(),
        })
    }

    /// Returns the longest wait before try number `n` after the first, without jitter.
    pub(crate) fn longest(&self, n: u32) -> Duration {
        let exponent = i32::try_from(n.saturating_sub(1)).unwrap_or(i32::MAX);
        let factor = f64::from(self.multiplier).powi(exponent);
        let seconds = self.initial.as_secs_f64() * factor;
        // Also when the product is too large for a duration, or no number.
        if seconds < self.max.as_secs_f64() { Duration::from_secs_f64(seconds) } else { self.max }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{prop_assert, proptest};

    use super::*;

    proptest! {
        #[test]
        fn it_doubles_up_to_the_cap_and_never_overflows(base in 1_u64..10_000, cap in 1_u64..100_000, n in 1_u32..200) {
            let (base, cap) = (Duration::from_millis(base), Duration::from_millis(cap));
            let backoff = Backoff::doubling(base, cap);
            let (this, next) = (backoff.longest(n), backoff.longest(n + 1));
            prop_assert!(this <= cap && this <= next);
            prop_assert!(next == cap || next.abs_diff(this * 2) < Duration::from_micros(1));
            prop_assert!(backoff.wait(n) <= this);
        }

        #[test]
        fn a_fifth_of_jitter_is_a_fifth(n in 1_u32..20, multiplier in 0.5_f32..4.0) {
            let (initial, max) = (Duration::from_millis(100), Duration::from_secs(1));
            let backoff = Backoff { initial, max, multiplier, jitter: Jitter::Fifth };
            let (longest, wait) = (backoff.longest(n).as_secs_f64(), backoff.wait(n).as_secs_f64());
            prop_assert!(wait >= longest * 0.8 - 1e-6 && wait <= longest * 1.2 + 1e-6);
        }
    }
}
