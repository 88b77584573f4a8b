//! One log line in place of many.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Allows one log line in each interval, and counts the others.
#[derive(Debug)]
pub(crate) struct Throttle {
    interval: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last: Option<Instant>,
    suppressed: u64,
}

// === impl Throttle ===

impl Throttle {
    pub(crate) fn new(interval: Duration) -> Self {
        Self { interval, state: Mutex::default() }
    }

    /// Returns how many lines were suppressed since the last one, or `None` if this one is to be suppressed too.
    pub(crate) fn allow(&self) -> Option<u64> {
        let (now, mut state) = (Instant::now(), self.state.lock());
        if state.last.is_some_and(|last| now < last + self.interval) {
            state.suppressed += 1;
            return None;
        }
        state.last = Some(now);
        Some(std::mem::take(&mut state.suppressed))
    }
}

impl Default for Throttle {
    /// One line in ten seconds.
    fn default() -> Self {
        Self::new(Duration::from_secs(10))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_line_in_an_interval_says_how_many_there_were() {
        let throttle = Throttle::default();
        assert_eq!([throttle.allow(), throttle.allow(), throttle.allow()], [Some(0), None, None]);
        advance(Duration::from_secs(10)).await;
        assert_eq!([throttle.allow(), throttle.allow()], [Some(2), None]);
    }
}
