//! Commands that can be copied into a POSIX shell.

use crate::terminal::text_layout::width;

/// Joins the words of a command, indented by two columns. One that is wider than `columns` continues in further lines, as
/// a shell reads them.
pub fn command_line(words: &[String], columns: usize) -> String {
    let mut lines = String::from(" ");
    let mut used = 1;
    for (index, word) in words.iter().enumerate() {
        // The last word needs no room for a backslash after it.
        let end = if index + 1 == words.len() { 0 } else { 2 };
        if index > 0 && used + 1 + width(word) + end > columns {
            lines.push_str(" \\\n   ");
            used = 3;
        }
        lines.push(' ');
        lines.push_str(word);
        used += 1 + width(word);
    }
    lines
}

/// Quotes a word for a POSIX shell if it needs it.
pub fn word(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) { word.to_owned() } else { quoted(word) }
}

/// Quotes a word for a POSIX shell.
pub fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_in_a_word_stays_one() {
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }

    #[test]
    fn a_path_is_quoted_if_it_needs_it() {
        assert_eq!([word("certs/ca.pem"), word("my certs/ca.pem")], ["certs/ca.pem", "'my certs/ca.pem'"]);
    }
}
