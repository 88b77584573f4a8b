//! Latencies of the last seconds.

use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::time::Instant;

/// How many latencies a percentile needs.
const MIN_SAMPLES: u64 = 100;

/// How long a latency counts, at least; twice that at most.
const WINDOW: Duration = Duration::from_secs(10);

/// Latencies in microseconds, up to an hour: of the current window, and of the one before.
#[derive(Debug)]
pub(crate) struct RotatingHistogram {
    current: Histogram<u32>,
    last: Histogram<u32>,
    since: Instant,
}

// === impl RotatingHistogram ===

impl RotatingHistogram {
    pub(crate) fn new() -> Self {
        let histogram = || Histogram::new_with_bounds(1, 3_600_000_000, 2).expect("these bounds are allowed");
        Self { current: histogram(), last: histogram(), since: Instant::now() }
    }

    pub(crate) fn record(&mut self, latency: Duration) {
        self.rotate();
        self.current.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
    }

    /// Returns this percentile of the current window, or of the last one while the current holds fewer than 100
    /// latencies; `None` if both do.
    pub(crate) fn percentile(&mut self, percentile: f64) -> Option<Duration> {
        self.rotate();
        let seen = [&self.current, &self.last].into_iter().find(|seen| seen.len() >= MIN_SAMPLES)?;
        Some(Duration::from_micros(seen.value_at_percentile(percentile)))
    }

    fn rotate(&mut self) {
        if self.since.elapsed() < WINDOW {
            return;
        }
        let is_stale = self.since.elapsed() >= 2 * WINDOW;
        std::mem::swap(&mut self.current, &mut self.last);
        self.current.reset();
        if is_stale {
            self.last.reset();
        }
        self.since = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn a_percentile_is_of_the_latest_answers() {
        let mut seen = RotatingHistogram::new();
        assert_eq!(seen.percentile(95.0), None, "nothing is known yet");
        (0..99).for_each(|_| seen.record(10 * MS));
        assert_eq!(seen.percentile(95.0), None, "too little is known yet");
        seen.record(1000 * MS);
        let p95 = seen.percentile(95.0).unwrap();
        assert!(p95.abs_diff(10 * MS) < MS, "{p95:?}");
        tokio::time::advance(WINDOW).await;
        assert!(seen.percentile(95.0).is_some(), "the window before counts while this one is young");
        tokio::time::advance(2 * WINDOW).await;
        assert_eq!(seen.percentile(95.0), None, "what is old is forgotten");
    }
}
