//! Text in columns: padding, cutting, wrapping and aligning by the width that a terminal shows.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::terminal::style::Style;

/// Returns how many columns the text takes.
pub fn width(text: &str) -> usize {
    text.width()
}

/// Returns how many columns the text takes if it has the colours of [`Style`].
pub fn visible_width(text: &str) -> usize {
    let mut parts = text.split('\u{1b}');
    let first = parts.next().map_or(0, width);
    // A sequence ends with its first letter.
    let after = |part: &str| part.split_once(|c: char| c.is_ascii_alphabetic()).map_or(0, |(_, text)| width(text));
    first + parts.map(after).sum::<usize>()
}

/// Escapes control characters.
///
/// Names and messages come from servers; an escape sequence in one must not reach the terminal.
pub fn printable(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            safe.extend(c.escape_default());
        } else {
            safe.push(c);
        }
    }
    safe
}

/// Pads the text with spaces at its right.
pub fn pad(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(width(text))))
}

/// Pads the text with spaces at its left.
pub fn pad_left(text: &str, columns: usize) -> String {
    format!("{}{text}", " ".repeat(columns.saturating_sub(width(text))))
}

/// Cuts a text that is wider than `columns`, and marks the cut with an ellipsis.
pub fn cut(text: &str, columns: usize, style: Style) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let ellipsis = style.glyph("…", "..");
    let room = columns.saturating_sub(width(ellipsis));
    let mut used = 0;
    let kept = text.chars().take_while(|c| {
        used += c.width().unwrap_or(0);
        used <= room
    });
    kept.collect::<String>() + ellipsis
}

/// Breaks the text at spaces into lines of at most `columns`; all lines but the first are indented. Words are never broken.
pub fn wrap(text: &str, columns: usize, indent: usize) -> String {
    let mut lines = String::new();
    let mut used = 0;
    for (index, word) in text.split(' ').enumerate() {
        let wide = width(word);
        if used > indent && used + 1 + wide > columns {
            lines.push('\n');
            lines.push_str(&" ".repeat(indent));
            used = indent;
        } else if index > 0 {
            lines.push(' ');
            used += 1;
        }
        lines.push_str(word);
        used += wide;
    }
    lines
}

/// Aligns rows of cells: the first column to the left, the others to the right.
pub fn align(rows: &[Vec<String>], gap: usize) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widest = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| width(cell)).max();
    let widths: Vec<usize> = (0..columns).map(|column| widest(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().enumerate().map(|(column, cell)| match column {
            0 => pad(cell, widths[0]),
            _ => format!("{}{}", " ".repeat(gap), pad_left(cell, widths[column])),
        });
        cells.collect::<String>().trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// Formats a number with separators: "12,345".
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Formats a number with its noun: "1 call", "2 calls".
pub fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(number), if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_by_columns_and_not_by_bytes() {
        assert_eq!(cut("country", 7, Style::PLAIN), "country");
        assert_eq!(cut("countries", 7, Style::PLAIN), "countr…");
        assert_eq!(cut("countries", 7, Style::ASCII), "count..");
        assert_eq!(cut("日本語日本語", 6, Style::PLAIN), "日本…");
    }

    #[test]
    fn lines_break_at_spaces_and_are_indented() {
        assert_eq!(wrap("  one two three", 10, 2), "  one two\n  three");
        assert_eq!(wrap("averyverylongword x", 8, 2), "averyverylongword\n  x");
    }

    #[test]
    fn colours_take_no_columns() {
        assert_eq!(visible_width("plain"), 5);
        assert_eq!(visible_width("\u{1b}[1mab\u{1b}[0m c\u{1b}[2m\u{1b}[36m█\u{1b}[0m"), 5);
    }

    #[test]
    fn columns_are_aligned() {
        let rows = [vec!["a".to_owned(), "1".to_owned()], vec!["long".to_owned(), "100".to_owned()]];
        assert_eq!(align(&rows, 2), ["a       1", "long  100"]);
    }

    #[test]
    fn control_characters_never_reach_the_terminal() {
        assert_eq!(printable("a\u{1b}[31m\nb"), "a\\u{1b}[31m\\nb");
    }

    #[test]
    fn numbers_have_separators() {
        assert_eq!([grouped(0), grouped(999), grouped(1000), grouped(1_234_567)], ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([counted(1, "call"), counted(1000, "call")], ["1 call", "1,000 calls"]);
    }
}
