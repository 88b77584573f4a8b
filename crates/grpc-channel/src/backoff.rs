//! How long to wait before trying again.

use std::time::Duration;

/// The longest wait before the `n`-th try after the first, from 1: doubling from `base`, `cap` at most.
pub(crate) fn ceiling(base: Duration, cap: Duration, n: u32) -> Duration {
    let factor = 2_u32.saturating_pow(n.saturating_sub(1));
    base.saturating_mul(factor).min(cap)
}

/// A wait between nothing and the [`ceiling`], each as likely as the other.
///
/// "Full jitter" spreads the callers of a backend that came back the widest, and needs the fewest calls in all
/// (Brooker, "Exponential Backoff And Jitter", 2015).
pub(crate) fn full_jitter(base: Duration, cap: Duration, n: u32) -> Duration {
    ceiling(base, cap, n).mul_f64(rand::random::<f64>())
}

#[cfg(test)]
mod tests {
    use proptest::{prop_assert, proptest};

    use super::*;

    proptest! {
        #[test]
        fn it_doubles_up_to_the_cap_and_never_overflows(base in 1_u64..10_000, cap in 1_u64..100_000, n in 1_u32..200) {
            let (base, cap) = (Duration::from_millis(base), Duration::from_millis(cap));
            let (this, next) = (ceiling(base, cap, n), ceiling(base, cap, n + 1));
            prop_assert!(this <= cap && this <= next);
            prop_assert!(next == cap || next == this * 2);
            prop_assert!(full_jitter(base, cap, n) <= this);
        }
    }
}
