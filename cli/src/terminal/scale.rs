//! An axis of time: the position of a moment, and the ticks.

use std::time::Duration;

/// Steps above a second, in seconds: fractions of minutes and hours.
const LONG_STEPS: [u64; 14] = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200];

/// Returns the smallest round duration that is not shorter than this one: 1, 2 or 5 times a power of ten up to a second,
/// then fractions of minutes and hours.
pub fn round_up(duration: Duration) -> Duration {
    let nanos = duration.as_nanos().max(1);
    let mut power: u128 = 1;
    while power < 1_000_000_000 {
        for factor in [1, 2, 5] {
            if power * factor >= nanos {
                return from_nanos(power * factor);
            }
        }
        power *= 10;
    }
    let long = LONG_STEPS.into_iter().map(Duration::from_secs).find(|step| *step >= duration);
    // Whole days beyond that.
    long.unwrap_or_else(|| Duration::from_hours(24 * (duration.as_secs() / 86_400 + 1)))
}

/// Maps times from zero to an end to positions on a row of equal parts.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    end: Duration,
    parts: usize,
}

// === impl Scale ===

impl Scale {
    /// Maps the times from zero to `end` to `parts`.
    pub fn new(end: Duration, parts: usize) -> Self {
        Self { end, parts }
    }

    /// Returns the position nearest to the moment: 0 for zero, `parts` for the end.
    pub fn position(self, moment: Duration) -> usize {
        let end = self.end.as_nanos();
        if end == 0 {
            return 0;
        }
        let nanos = moment.min(self.end).as_nanos();
        let parts = self.parts as u128;
        usize::try_from((nanos * parts + end / 2) / end).unwrap_or(self.parts)
    }

    /// Returns round moments from zero to the end, at least `apart` parts from one another.
    pub fn ticks(self, apart: usize) -> Vec<Duration> {
        let gaps = (self.parts / apart.max(1)).max(1);
        let step = round_up(self.end / u32::try_from(gaps).unwrap_or(u32::MAX));
        let mut ticks = vec![Duration::ZERO];
        while let Some(next) = ticks.last().and_then(|last| last.checked_add(step)).filter(|next| *next <= self.end) {
            ticks.push(next);
        }
        ticks
    }
}

fn from_nanos(nanos: u128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(durations: &[Duration]) -> Vec<u128> {
        durations.iter().map(Duration::as_millis).collect()
    }

    #[test]
    fn durations_are_rounded_up_to_usual_steps() {
        for (millis, round) in [(1, 1), (3, 5), (60, 100), (501, 1000), (1200, 2000), (6000, 10_000), (21_000, 30_000)]
        {
            assert_eq!(round_up(Duration::from_millis(millis)), Duration::from_millis(round));
        }
        assert_eq!(round_up(Duration::from_hours(3)), Duration::from_hours(24));
        assert_eq!(round_up(Duration::ZERO), Duration::from_nanos(1));
    }

    #[test]
    fn ticks_keep_their_distance() {
        let scale = Scale::new(Duration::from_secs(6), 54);
        assert_eq!(millis(&scale.ticks(9)), [0, 1000, 2000, 3000, 4000, 5000, 6000]);
        assert_eq!(millis(&Scale::new(Duration::from_millis(5990), 20).ticks(9)), [0, 5000]);
        assert_eq!(millis(&Scale::new(Duration::ZERO, 20).ticks(9)), [0]);
    }

    #[test]
    fn positions_are_rounded_to_the_nearest_part() {
        let scale = Scale::new(Duration::from_secs(6), 48);
        let at = |secs| scale.position(Duration::from_secs_f64(secs));
        assert_eq!([at(0.0), at(3.0), at(6.0), at(7.0), at(0.06), at(0.07)], [0, 24, 48, 48, 0, 1]);
        assert_eq!(Scale::new(Duration::ZERO, 48).position(Duration::from_secs(1)), 0);
    }
}
