//! Durations for people: three significant digits and a unit.

use std::time::Duration;

/// The units, each with its length in seconds and the figure from which the next unit is used.
const UNITS: [(&str, f64, f64); 6] = [
    ("ns", 1e-9, 1000.0),
    ("µs", 1e-6, 1000.0),
    ("ms", 1e-3, 1000.0),
    ("s", 1.0, 600.0),
    ("min", 60.0, 600.0),
    ("h", 3600.0, f64::INFINITY),
];

/// Formats a duration with three significant digits: "312 ms", "6.00 s", "12.5 min".
pub fn human(duration: Duration) -> String {
    if duration.is_zero() {
        return "0 s".to_owned();
    }
    let seconds = duration.as_secs_f64();
    let (unit, figure) = UNITS
        .iter()
        // Half a digit below the limit, because a figure that is rounded up to it belongs to the next unit.
        .find(|(_, length, limit)| seconds / length < limit - 0.5)
        .map_or(("h", seconds / 3600.0), |(unit, length, _)| (*unit, seconds / length));
    let decimals = match figure {
        _ if unit == "ns" => 0,
        figure if figure < 9.995 => 2,
        figure if figure < 99.95 => 1,
        _ => 0,
    };
    format!("{figure:.decimals$} {unit}")
}

/// Formats a duration without trailing zeros, for round figures: "1.5 s", "2 s".
pub fn short(duration: Duration) -> String {
    let text = human(duration);
    let Some((figure, unit)) = text.split_once(' ').filter(|(figure, _)| figure.contains('.')) else {
        return text;
    };
    format!("{} {unit}", figure.trim_end_matches('0').trim_end_matches('.'))
}

/// Returns the milliseconds, to the microsecond, as in all JSON documents of this program.
pub fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_three_significant_digits() {
        for (nanos, text) in [
            (0, "0 s"),
            (7, "7 ns"),
            (999, "999 ns"),
            (1_000, "1.00 µs"),
            (85_400, "85.4 µs"),
            (999_600, "1.00 ms"),
            (312_000_000, "312 ms"),
            (999_499_999, "999 ms"),
            (999_500_000, "1.00 s"),
            (6_004_000_000, "6.00 s"),
            (9_995_000_001, "10.0 s"),
            (599_000_000_000, "599 s"),
            (600_000_000_000, "10.0 min"),
            (36_000_000_000_000, "10.0 h"),
        ] {
            assert_eq!(human(Duration::from_nanos(nanos)), text, "{nanos} ns");
        }
        assert_eq!(human(Duration::from_hours(5000)), "5000 h");
    }

    #[test]
    fn round_durations_have_no_trailing_zeros() {
        for (millis, text) in [(0, "0 s"), (100, "100 ms"), (1500, "1.5 s"), (2000, "2 s"), (30_000, "30 s")] {
            assert_eq!(short(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn milliseconds_are_rounded_to_the_microsecond() {
        assert!((milliseconds(Duration::from_nanos(1_234_567_890)) - 1234.568).abs() < 1e-9);
    }
}
