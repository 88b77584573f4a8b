//! Durations of which percentiles are asked, in little memory.

use std::time::Duration;

/// Counts durations in buckets that are at most 1.6 % wide, so that a percentile is right to that. The smallest and the
/// largest duration are exact.
///
/// Holds at most 1,984 buckets of 8 bytes, and only those that are in use.
#[derive(Clone, Debug, Default)]
pub(super) struct Histogram {
    /// Each bucket's number and count, by number.
    buckets: Vec<(u16, u32)>,
    count: u64,
    sum: u128,
    min: u64,
    max: u64,
}

/// Buckets per doubling: 2^6.
const BITS: u32 = 6;
/// Longer durations are counted as this long: 2^36 µs, 19 hours.
const MAX: u64 = (1 << 36) - 1;

// === impl Histogram ===

impl Histogram {
    pub(super) fn add(&mut self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.add_bucket(bucket(nanos / 1000), 1);
        self.min = if self.count == 0 { nanos } else { self.min.min(nanos) };
        self.max = self.max.max(nanos);
        self.count += 1;
        self.sum += u128::from(nanos);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        for (bucket, count) in &other.buckets {
            self.add_bucket(*bucket, *count);
        }
        self.min = if self.count == 0 { other.min } else { self.min.min(other.min) };
        self.max = self.max.max(other.max);
        self.count += other.count;
        self.sum += other.sum;
    }

    pub(super) fn sum(&self) -> Duration {
        Duration::from_nanos_u128(self.sum)
    }

    /// Returns the duration that so many percent do not exceed; zero if there are none.
    pub(super) fn percentile(&self, percent: u32) -> Duration {
        let rank = (self.count * u64::from(percent)).div_ceil(100).max(1);
        let (mut seen, last) = (0, self.buckets.len().saturating_sub(1));
        for (place, (bucket, count)) in self.buckets.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= rank {
                return Duration::from_nanos(match place {
                    0 => self.min,
                    place if place == last => self.max,
                    _ => middle(*bucket),
                });
            }
        }
        Duration::from_nanos(self.max)
    }

    fn add_bucket(&mut self, bucket: u16, count: u32) {
        match self.buckets.binary_search_by_key(&bucket, |(bucket, _)| *bucket) {
            Ok(place) => self.buckets[place].1 = self.buckets[place].1.saturating_add(count),
            Err(place) => self.buckets.insert(place, (bucket, count)),
        }
    }
}

/// Returns the bucket of so many microseconds: linear up to 128, then 64 for each doubling.
fn bucket(micros: u64) -> u16 {
    let micros = micros.min(MAX);
    let shift = (u64::BITS - micros.leading_zeros()).saturating_sub(BITS + 1);
    u16::try_from((u64::from(shift) << BITS) + (micros >> shift)).unwrap_or(u16::MAX)
}

/// Returns the middle of a bucket in nanoseconds.
fn middle(bucket: u16) -> u64 {
    let (bucket, per_doubling) = (u64::from(bucket), 1 << BITS);
    let shift = (bucket / per_doubling).saturating_sub(1);
    let low = (bucket - shift * per_doubling) << shift;
    (low * 1000).saturating_add((1000 << shift) / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_right_to_a_hundredth() {
        let mut histogram = Histogram::default();
        for ms in 1..=1000 {
            histogram.add(Duration::from_millis(ms));
        }
        for (percent, exact) in [(1, 0.010), (50, 0.500), (95, 0.950), (99, 0.990), (100, 1.000)] {
            let found = histogram.percentile(percent).as_secs_f64();
            assert!((found / exact - 1.0).abs() < 0.01, "p{percent}: {found}");
        }
        assert_eq!(histogram.sum(), Duration::from_millis(500_500));
        assert!(histogram.buckets.len() < 500);
    }

    #[test]
    fn one_duration_is_exact() {
        for nanos in [0, 1, 999, 3_000_000_123, u64::MAX] {
            let mut histogram = Histogram::default();
            histogram.add(Duration::from_nanos(nanos));
            assert_eq!(histogram.percentile(50), Duration::from_nanos(nanos));
        }
        assert_eq!(Histogram::default().percentile(50), Duration::ZERO);
    }

    #[test]
    fn buckets_follow_one_another() {
        let mut last = 0;
        for micros in (0..100_000).chain((17..36).map(|bits| 1 << bits)).chain([MAX, u64::MAX]) {
            let number = bucket(micros);
            assert!(usize::from(number) < 1984);
            if micros < 100_000 {
                assert!(number == last || number == last + 1, "{micros}");
                last = number;
                let error = (middle(number) / 1000).abs_diff(micros);
                assert!(error * 100 <= micros.max(100), "{micros} is in the bucket around {}", middle(number));
            }
        }
    }

    #[test]
    fn merged_is_as_if_all_were_added_to_one() {
        let (mut one, mut other, mut all) = (Histogram::default(), Histogram::default(), Histogram::default());
        for ms in 0..100 {
            let duration = Duration::from_millis(ms * ms);
            if ms % 3 == 0 { &mut one } else { &mut other }.add(duration);
            all.add(duration);
        }
        one.merge(&other);
        assert_eq!(format!("{one:?}"), format!("{all:?}"));
    }
}
