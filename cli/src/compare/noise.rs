//! Which differences count.

use std::time::Duration;

/// A difference below this fraction (one in …) of the whole is noise.
const FRACTION: u32 = 20;
/// A difference below this is noise, whatever the whole is.
const FLOOR: Duration = Duration::from_millis(1);

/// Returns whether a part of the whole is more than noise.
pub(super) fn is_more(part: Duration, whole: Duration) -> bool {
    part >= FLOOR && part > whole / FRACTION
}

/// Returns the difference as people see it: zero if it is too short to mean anything.
pub(super) fn figure(difference: Duration) -> Duration {
    if difference < FLOOR { Duration::ZERO } else { difference }
}

/// Returns whether a part would count if the calls had taken longer.
pub(super) fn is_too_short(part: Duration, whole: Duration) -> bool {
    part < FLOOR && part > whole / FRACTION
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_counts_from_a_millisecond_and_a_twentieth() {
        let micros = Duration::from_micros;
        assert!(is_more(micros(1000), micros(2000)) && !is_more(micros(999), micros(2000)));
        assert!(!is_more(micros(1000), micros(20_000)) && is_more(micros(1001), micros(20_000)));
        assert!(is_too_short(micros(999), micros(2000)) && !is_too_short(micros(1), micros(2000)));
        assert_eq!([figure(micros(999)), figure(micros(1000))], [Duration::ZERO, micros(1000)]);
    }
}
