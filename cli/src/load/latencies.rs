//! A histogram of latencies, for percentiles.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Latencies in nanoseconds, to three significant digits.
#[derive(Clone, Debug)]
pub struct Latencies {
    histogram: Histogram<u64>,
    /// Exact: the histogram knows only the bounds of its buckets.
    min: Duration,
    max: Duration,
}

// === impl Latencies ===

impl Latencies {
    pub(crate) fn new() -> Self {
        const HIGHEST: u64 = 24 * 3600 * 1_000_000_000;
        let histogram = Histogram::new_with_bounds(1, HIGHEST, 3).expect("the bounds are in order");
        Self { histogram, min: Duration::MAX, max: Duration::ZERO }
    }

    pub(crate) fn record(&mut self, latency: Duration) {
        self.min = self.min.min(latency);
        self.max = self.max.max(latency);
        self.histogram.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.histogram.add(&other.histogram).expect("all have the same bounds");
    }

    /// Returns the sum of both.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        let mut both = self.clone();
        both.merge(other);
        both
    }

    /// Returns the number of latencies.
    pub fn len(&self) -> u64 {
        self.histogram.len()
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.histogram.is_empty()
    }

    /// Returns the shortest.
    pub fn min(&self) -> Duration {
        self.min.min(self.max)
    }

    /// Returns the longest.
    pub fn max(&self) -> Duration {
        self.max
    }

    /// Returns the latency that this percentage does not exceed.
    pub fn percentile(&self, percent: f64) -> Duration {
        Duration::from_nanos(self.histogram.value_at_percentile(percent)).clamp(self.min(), self.max)
    }

    /// Counts the latencies that are at least `from` and below `to`.
    pub fn between(&self, from: Duration, to: Duration) -> u64 {
        let inside = self.histogram.iter_recorded().filter(|step| {
            // One value for the whole bucket, so that each latency belongs to exactly one row.
            let value = Duration::from_nanos(self.histogram.lowest_equivalent(step.value_iterated_to()));
            let value = value.clamp(self.min(), self.max);
            (from..to).contains(&value)
        });
        inside.map(|step| step.count_at_value()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_have_three_digits_and_rows_count_each_latency_once() {
        let mut latencies = Latencies::new();
        for millis in 1..=1000 {
            latencies.record(Duration::from_millis(millis));
        }
        let p99 = latencies.percentile(99.0).as_secs_f64();
        assert!((p99 - 0.99).abs() < 0.001, "{p99}");
        assert!(latencies.percentile(100.0) <= latencies.max());
        let edges: Vec<_> = [0, 100, 250, 1001].map(Duration::from_millis).into();
        let rows: u64 = edges.windows(2).map(|edge| latencies.between(edge[0], edge[1])).sum();
        assert_eq!(rows, 1000);
        assert_eq!(latencies.with(&latencies).len(), 2000);
    }
}
