//! The part of a text from elsewhere that an error repeats.

/// The longest part of an invalid value that an error repeats, in characters.
const MAX_CHARS: usize = 64;

/// Returns at most the first 64 characters of a value, with an ellipsis if it is longer.
pub(crate) fn excerpt(value: &str) -> String {
    cut(value, MAX_CHARS)
}

/// Returns at most the first `max` characters of a text, with an ellipsis if it is longer.
pub(crate) fn cut(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Writes control characters, and others that cannot be seen, as Rust does, such as `\n` and `\u{202e}`.
pub(crate) fn escape_hidden(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\'' | '\\' => escaped.push(c),
            _ => escaped.extend(c.escape_debug()),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_and_hidden_characters_are_seen() {
        assert_eq!(excerpt(&"é".repeat(64)), "é".repeat(64));
        assert_eq!(excerpt(&"é".repeat(65)), format!("{}…", "é".repeat(64)));
        assert_eq!(escape_hidden("a \"b\"\n\u{202e}é"), "a \"b\"\\n\\u{202e}é");
    }
}
