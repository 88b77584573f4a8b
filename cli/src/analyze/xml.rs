//! Text in XML.

/// Escapes a text for an element or an attribute with double quotes.
///
/// Characters that XML 1.0 cannot hold are replaced: names come from traces, and may hold anything.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\t' | '\n' | '\r' => escaped.push(' '),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_xml_cannot_hold_is_replaced() {
        assert_eq!(
            escape("<a href=\"b\">&\n\u{1b}[31m\u{0}é"),
            "&lt;a href=&quot;b&quot;&gt;&amp; \u{fffd}[31m\u{fffd}é"
        );
    }
}
