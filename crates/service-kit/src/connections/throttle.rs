//! Logs one warning in place of many.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The shortest time between two warnings.
const INTERVAL: Duration = Duration::from_secs(10);

/// Allows one warning in ten seconds, and counts the others.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last: Option<Instant>,
    suppressed: u64,
}

// === impl Throttle ===

impl Throttle {
    /// Returns how many warnings were suppressed since the last one, or `None` if this one is to be suppressed too.
    pub(super) fn allow(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock();
        if state.last.is_some_and(|last| now < last + INTERVAL) {
            state.suppressed += 1;
            return None;
        }
        state.last = Some(now);
        Some(std::mem::take(&mut state.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_warning_in_an_interval_says_how_many_there_were() {
        let (throttle, begun) = (Throttle::default(), Instant::now());
        assert_eq!(throttle.allow(begun), Some(0));
        assert_eq!(throttle.allow(begun), None);
        assert_eq!(throttle.allow(begun + INTERVAL / 2), None);
        assert_eq!(throttle.allow(begun + INTERVAL), Some(2));
        assert_eq!(throttle.allow(begun + INTERVAL * 2), Some(0));
    }
}
