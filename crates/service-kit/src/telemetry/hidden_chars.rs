//! Characters that must not reach a terminal or a log viewer as they are: callers choose the names of methods.

use std::{borrow::Cow, fmt::Write as _};

/// Returns whether a character changes how text looks without being seen: control characters (C0, DEL, C1), those that
/// change the direction of text, those that are not drawn (Unicode's `Default_Ignorable_Code_Point`), annotations, and
/// separators of lines.
pub(super) fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// Writes hidden characters as Rust does, such as `\n` and `\u{202e}`.
pub(super) fn escape(text: &str) -> Cow<'_, str> {
    replace_hidden(text, |escaped, c| escaped.extend(c.escape_default()))
}

/// Writes hidden characters in encoded JSON as JSON does, such as `\u202e`. Its strings still decode to the same text.
pub(super) fn escape_json(json: &str) -> Cow<'_, str> {
    replace_hidden(json, |escaped, c| {
        for unit in c.encode_utf16(&mut [0; 2]) {
            let _ = write!(escaped, "\\u{unit:04x}");
        }
    })
}

fn replace_hidden(text: &str, mut write: impl FnMut(&mut String, char)) -> Cow<'_, str> {
    // Most texts are printable ASCII.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) || !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_hidden(c) { write(&mut escaped, c) } else { escaped.push(c) }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HIDDEN: &str = "a\u{1b}[2J\u{9b}31m\u{202e}b\u{200b}\u{2066}\u{feff}\u{2028}\u{e0041}\n\u{7f}";

    #[test]
    fn hidden_characters_are_written_out_and_all_others_stay() {
        assert_eq!(escape(HIDDEN), r"a\u{1b}[2J\u{9b}31m\u{202e}b\u{200b}\u{2066}\u{feff}\u{2028}\u{e0041}\n\u{7f}");
        assert_eq!(escape("\u{3164}\u{34f}\u{e0100}"), r"\u{3164}\u{34f}\u{e0100}", "fillers, joiners, selectors");
        for plain in ["", "GetUser", "±30ms, käse, 日本, 🦀, \"quoted\" \\n"] {
            assert!(matches!(escape(plain), Cow::Borrowed(_)), "{plain}");
        }
    }

    #[test]
    fn escaped_json_decodes_to_the_same_text() {
        let json = serde_json::json!({ "method": HIDDEN, "other": "ü" }).to_string();
        let escaped = escape_json(&json);
        assert!(escaped.contains(r"\u009b31m\u202eb\u200b") && escaped.contains(r"\udb40\udc41"), "{escaped}");
        assert!(!escaped.contains(is_hidden));
        let decoded: serde_json::Value = serde_json::from_str(&escaped).unwrap();
        assert_eq!((decoded["method"].as_str(), decoded["other"].as_str()), (Some(HIDDEN), Some("ü")));
    }
}
