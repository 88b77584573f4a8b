//! JSON that fits the terminal's width: short values on one line, an element of a list on one line, long lists cut.

use serde_json::Value;

use crate::terminal::{
    style::{Role, Style},
    text_layout::{cut, printable, width},
};

/// How many elements of a longer list are shown.
const SHOWN: usize = 5;

/// How JSON is laid out.
#[derive(Clone, Copy, Debug)]
pub(super) struct JsonLayout {
    /// The number of columns.
    pub(super) width: usize,
    /// How it is drawn.
    pub(super) style: Style,
    /// Whether everything is shown: no list and no line is cut.
    pub(super) full: bool,
}

// === impl JsonLayout ===

impl JsonLayout {
    /// Returns the value in lines. An object or a list that fits is one line.
    pub(super) fn lines(self, value: &Value) -> Vec<String> {
        let mut lines = Vec::new();
        self.write(&mut lines, "", value, "", 0);
        lines
    }

    /// Returns the value as one line of at most `columns`.
    pub(super) fn line(self, value: &Value, columns: usize) -> String {
        self.cut(&inline(value), columns)
    }

    fn write(self, lines: &mut Vec<String>, before: &str, value: &Value, after: &str, depth: usize) {
        let one_line = format!("{before}{}{after}", inline(value));
        let parts: Vec<(String, &Value)> = match value {
            Value::Object(fields) if !fields.is_empty() => {
                fields.iter().map(|(name, value)| (format!("{}: ", quoted(name)), value)).collect()
            }
            Value::Array(elements) if !elements.is_empty() => {
                elements.iter().map(|element| (String::new(), element)).collect()
            }
            _ => return lines.push(self.cut(&one_line, self.width)),
        };
        if width(&one_line) <= self.width && depth > 0 {
            return lines.push(one_line);
        }
        let is_list = value.is_array();
        let [open, close] = if is_list { ["[", "]"] } else { ["{", "}"] };
        lines.push(self.cut(&format!("{before}{open}"), self.width));
        let (count, indent) = (parts.len(), "  ".repeat(depth + 1));
        let shown = if is_list && !self.full && count > SHOWN { SHOWN } else { count };
        for (index, (name, part)) in parts.into_iter().take(shown).enumerate() {
            let comma = if index + 1 < count { "," } else { "" };
            let before = format!("{indent}{name}");
            if is_list {
                // Elements are alike, and read best when they look alike.
                lines.push(self.cut(&format!("{before}{}{comma}", inline(part)), self.width));
            } else {
                self.write(lines, &before, part, comma, depth + 1);
            }
        }
        if shown < count {
            let rest = format!("{indent}{} {} more: --full shows them", self.style.glyph("…", "..."), count - shown);
            lines.push(self.style.paint(Role::Quiet, &rest));
        }
        lines.push(format!("{}{close}{after}", "  ".repeat(depth)));
    }

    fn cut(self, line: &str, columns: usize) -> String {
        if self.full { line.to_owned() } else { cut(line, columns, self.style) }
    }
}

/// Returns the value on one line, with spaces between its parts.
fn inline(value: &Value) -> String {
    let join = |parts: Vec<String>| parts.join(", ");
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            let fields = fields.iter().map(|(name, value)| format!("{}: {}", quoted(name), inline(value)));
            format!("{{{}}}", join(fields.collect()))
        }
        Value::Array(elements) if !elements.is_empty() => {
            format!("[{}]", join(elements.iter().map(inline).collect()))
        }
        leaf => printable(&leaf.to_string()),
    }
}

fn quoted(name: &str) -> String {
    printable(&Value::from(name).to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(value: &Value, width: usize, full: bool) -> String {
        JsonLayout { width, style: Style::PLAIN, full }.lines(value).join("\n")
    }

    #[test]
    fn what_fits_is_one_line() {
        let value = json!({ "user": { "id": "ada", "name": "Ada Lovelace" }, "list": [1, 2] });
        let lines = ["{", r#"  "user": {"id": "ada", "name": "Ada Lovelace"},"#, r#"  "list": [1, 2]"#, "}"];
        assert_eq!(text(&value, 80, false), lines.join("\n"));
        let narrow = text(&value, 30, false);
        assert!(narrow.contains("\n    \"name\": \"Ada Lovelace\"\n  }"), "{narrow}");
        assert!(narrow.lines().all(|line| width(line) <= 30), "{narrow}");
    }

    #[test]
    fn a_long_list_and_a_long_text_are_cut_unless_all_is_wanted() {
        let value = json!({ "list": (0..40).map(|number| json!({ "number": number })).collect::<Vec<_>>() });
        let short = text(&value, 60, false);
        assert!(short.contains("\n    {\"number\": 4},\n    … 35 more: --full shows them\n  ]\n}"), "{short}");
        assert_eq!(text(&value, 60, true).matches("number").count(), 40);
        let long = json!({ "text": "x".repeat(100) });
        assert!(text(&long, 40, false).lines().all(|line| width(line) <= 40));
        assert!(text(&long, 40, true).contains(&"x".repeat(100)));
    }

    #[test]
    fn all_of_it_is_json_again() {
        let value = json!({ "a": [{ "b": "\u{1b}[31m \" \\ é" }, {}, [], null, 1.5, [[true]]], "": {} });
        let again: Value = serde_json::from_str(&text(&value, 40, true).replace("\\u{9b}", "")).unwrap();
        assert_eq!(again, value);
    }
}
