//! Sentences in lines, in which figures keep their units.

use crate::terminal::text_layout::wrap;

/// The units of durations.
const UNITS: [&str; 7] = ["ns", "µs", "us", "ms", "s", "min", "h"];
/// A space at which no line breaks.
const NO_BREAK: &str = "\u{a0}";

/// Breaks a sentence into lines, as [`wrap`] does, but not between a figure and its unit.
pub(super) fn wrap_sentence(text: &str, columns: usize, indent: usize) -> String {
    wrap(&with_units(text), columns, indent).replace(NO_BREAK, " ")
}

/// Returns the text with figures that are not separated from their units.
fn with_units(text: &str) -> String {
    let mut words = text.split(' ').peekable();
    let mut joined = String::with_capacity(text.len());
    while let Some(word) = words.next() {
        joined.push_str(word);
        if let Some(next) = words.peek() {
            let is_unit = UNITS.contains(&next.trim_end_matches([',', ';', '.', ':', ')']));
            joined.push_str(if is_unit && word.ends_with(|c: char| c.is_ascii_digit()) { NO_BREAK } else { " " });
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_keeps_its_unit() {
        assert_eq!(wrap_sentence("it took 6.00 s; so", 13, 2), "it took\n  6.00 s; so");
        assert_eq!(wrap_sentence("  a b s", 20, 0), "  a b s");
    }
}
