//! Log lines: any text is one line without hidden characters, and a reader can tell what it was.

use service_kit::{fuzzing::log_line, settings::LogFormat};

use crate::text::{is_hidden, text};

/// Takes the input as the message and as the value of a field.
pub fn run(input: &[u8]) {
    let Some(text) = text(input) else { return };

    let line = log_line(LogFormat::Json, text);
    check_line(&line, text);
    let json: serde_json::Value = serde_json::from_str(&line).expect("a line is JSON");
    assert_eq!((json["message"].as_str(), json["value"].as_str()), (Some(text), Some(text)));
    assert_eq!((json["level"].as_str(), json["service"].as_str()), (Some("INFO"), Some("fuzz")));

    let line = log_line(LogFormat::Text, text);
    check_line(&line, text);
    // `value` is the last field, and what it holds cannot look like its end or its beginning.
    let content = line.trim_end_matches('\n');
    if let Some(quoted) = content.strip_suffix('"') {
        let (before, quoted) = quoted.split_at(opening_quote(quoted).expect("a quote that opens"));
        assert!(before.ends_with(" value="), "{line}");
        assert_eq!(unescape(&quoted[1..]), text);
    } else {
        let (_, value) = content.rsplit_once(" value=").expect("there is the field");
        assert_eq!(value, text);
    }
}

/// Returns where the quoted text begins that ends with the text: at the last quote that is not escaped.
fn opening_quote(text: &str) -> Option<usize> {
    let is_escaped = |quote: usize| text[..quote].bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1;
    text.rmatch_indices('"').map(|(quote, _)| quote).find(|quote| !is_escaped(*quote))
}

fn check_line(line: &str, text: &str) {
    let content = line.strip_suffix('\n').expect("it ends");
    assert!(!content.contains(is_hidden), "{content:?}");
    // The longest escape of a character, `\u{10ffff}`, in the message and in the field.
    assert!(line.len() <= 300 + 2 * 12 * text.chars().count(), "{} bytes of {}", line.len(), text.len());
}

/// Reads Rust's escapes.
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            assert_ne!(c, '"', "a quote within a quoted value: {text}");
            plain.push(c);
            continue;
        }
        plain.push(match rest.next() {
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('0') => '\0',
            Some('u') => {
                let digits: String = rest.by_ref().skip(1).take_while(|c| *c != '}').collect();
                u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32).expect("a character's number")
            }
            Some(c @ ('\\' | '"' | '\'')) => c,
            other => panic!("no escape of Rust: {other:?} in {text}"),
        });
    }
    plain
}
