//! Allows some log lines in place of many.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// The shortest time between two warnings of [`Throttle::default`].
const WARNING_INTERVAL: Duration = Duration::from_secs(10);

/// Allows so many log lines in each interval, and counts the others. The default is one warning in ten seconds.
///
/// An interval starts with the first line that it allows.
#[derive(Debug)]
pub struct Throttle {
    max: u64,
    interval: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    begun: Option<Instant>,
    allowed: u64,
    suppressed: u64,
}

// === impl Throttle ===

impl Throttle {
    /// Creates a throttle that allows `max` lines in each `interval`.
    pub const fn new(max: u64, interval: Duration) -> Self {
        Self { max, interval, state: Mutex::new(State { begun: None, allowed: 0, suppressed: 0 }) }
    }

    /// Returns how many lines were suppressed since the last one, or `None` if this one is to be suppressed too.
    pub fn allow(&self, now: Instant) -> Option<u64> {
        let mut state = self.state();
        if state.begun.is_none_or(|begun| now >= begun + self.interval) {
            (state.begun, state.allowed) = (Some(now), 0);
        }
        if state.allowed >= self.max {
            state.suppressed += 1;
            return None;
        }
        state.allowed += 1;
        Some(std::mem::take(&mut state.suppressed))
    }

    /// Returns how many lines were suppressed since the last one, and counts from zero again.
    pub fn take_suppressed(&self) -> u64 {
        std::mem::take(&mut self.state().suppressed)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Throttle {
    fn default() -> Self {
        Self::new(1, WARNING_INTERVAL)
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
        assert_eq!(throttle.allow(begun + WARNING_INTERVAL / 2), None);
        assert_eq!(throttle.allow(begun + WARNING_INTERVAL), Some(2));
        assert_eq!(throttle.allow(begun + WARNING_INTERVAL * 2), Some(0));
    }

    #[test]
    fn an_interval_may_have_more_than_one_line() {
        let second = Duration::from_secs(1);
        let (throttle, begun) = (Throttle::new(3, second), Instant::now());
        let at = |millis| throttle.allow(begun + Duration::from_millis(millis));
        assert_eq!([at(0), at(400), at(999), at(999), at(999)], [Some(0), Some(0), Some(0), None, None]);
        assert_eq!([at(1000), at(1000)], [Some(2), Some(0)]);
        assert_eq!([at(1100), at(1999)], [Some(0), None]);
        assert_eq!((throttle.take_suppressed(), at(2000)), (1, Some(0)));
    }
}
