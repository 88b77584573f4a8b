//! Findings in plain English.

use std::time::Duration;

/// Writes a duration with three digits and its unit: "3.00 s", "250 ms", "1.20 ms", "80 µs".
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    // The unit in which the rounded number has at most three digits before the point.
    let (value, unit) = match seconds {
        0.0 => return "0 s".to_owned(),
        s if s >= 0.9995 => (s, "s"),
        s if s >= 0.999_5e-3 => (s * 1e3, "ms"),
        s if s >= 0.999_5e-6 => (s * 1e6, "µs"),
        s => (s * 1e9, "ns"),
    };
    let digits = if value >= 99.95 || unit == "ns" {
        0
    } else if value >= 9.995 {
        1
    } else {
        2
    };
    format!("{value:.digits$} {unit}")
}

/// Writes a number with a comma between thousands: "100,000".
pub fn number(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.char_indices() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_three_digits() {
        let cases = [
            (0, "0 s"),
            (7, "7 ns"),
            (999, "999 ns"),
            (1_500, "1.50 µs"),
            (999_960, "1.00 ms"),
            (12_345_678, "12.3 ms"),
            (250_000_000, "250 ms"),
            (999_700_000, "1.00 s"),
            (6_000_000_000, "6.00 s"),
            (3_725_000_000_000, "3725 s"),
        ];
        for (nanos, text) in cases {
            assert_eq!(duration(Duration::from_nanos(nanos)), text);
        }
    }

    #[test]
    fn numbers_have_commas() {
        assert_eq!([0, 999, 1000, 1_234_567].map(number), ["0", "999", "1,000", "1,234,567"]);
    }
}
