//! What is wrong with a part of an input, and where that is.

use std::fmt::{self, Display, Formatter};

/// Longer messages are cut: they may quote the input.
const MAX_MESSAGE: usize = 300;

/// A part of the input that could not be read. The others were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where the part is.
    pub position: Position,
    /// The way to it through the document, such as `resourceSpans[0].scopeSpans[0].spans[2].kind`; may be empty.
    pub path: String,
    /// The span that is left out or incomplete because of it, as the input writes its id.
    pub span: Option<String>,
    /// What was found, and what was expected.
    pub message: String,
}

/// A place in an input, after it was decompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// A place in a text; both are counted from 1, the column in bytes.
    Text {
        /// The line.
        line: usize,
        /// The column.
        column: usize,
    },
    /// A place in binary data, counted from 0.
    Byte(usize),
}

/// A problem whose place is an offset in the input. Its line is looked up once it is known to be shown: that takes a walk
/// through the text, and inputs may have as many faults as parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) offset: usize,
    path: String,
    span: Option<String>,
    message: String,
}

// === impl Fault ===

impl Fault {
    /// Creates a fault. A long message is cut.
    pub(crate) fn new(offset: usize, path: String, span: Option<String>, message: impl AsRef<str>) -> Self {
        let (path, message) = (shortened(path, MAX_MESSAGE), shortened(message, MAX_MESSAGE));
        let mut fault = Self { offset, path, span: None, message };
        fault.set_span(span);
        fault
    }

    /// Says which span it is about, by the id as the input writes it.
    pub(crate) fn set_span(&mut self, id: Option<String>) {
        self.span = id.map(|id| shortened(id, 40));
    }

    /// Returns the problem at this position, which is that of the offset.
    pub(crate) fn at(self, position: Position) -> Problem {
        let Self { path, span, message, .. } = self;
        Problem { position, path, span, message }
    }
}

// === impl Problem ===

impl Display for Problem {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.position)?;
        if let Some(span) = &self.span {
            write!(f, "span {span}: ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

// === impl Position ===

impl Display for Position {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text { line, column } => write!(f, "line {line}, column {column}"),
            Self::Byte(offset) => write!(f, "byte {offset}"),
        }
    }
}

/// Returns the text with all characters visible, without what is after `most` bytes.
fn shortened(text: impl AsRef<str>, most: usize) -> String {
    let escape = |c: char| match c {
        '"' | '\'' | '\\' => c.to_string(),
        c => c.escape_debug().to_string(),
    };
    // More characters than bytes are not shown.
    let mut text: String = text.as_ref().chars().take(most + 1).map(escape).collect();
    if text.len() > most {
        let end = (0..=most).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_says_where_which_and_what() {
        let position = Position::Text { line: 3, column: 17 };
        let fault = Fault::new(40, "data[0].spans[4]".to_owned(), Some("00f067aa".to_owned()), "no start");
        assert_eq!(fault.at(position).to_string(), "line 3, column 17: span 00f067aa: data[0].spans[4]: no start");
        let fault = Fault::new(7, String::new(), None, "cut off");
        assert_eq!(fault.at(Position::Byte(7)).to_string(), "byte 7: cut off");
    }

    #[test]
    fn hidden_characters_are_written_out() {
        let problem = Fault::new(0, String::new(), None, "a\u{1b}\"b\u{202e}\u{feff}");
        assert_eq!(problem.message, "a\\u{1b}\"b\\u{202e}\\u{feff}");
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let problem = Fault::new(0, String::new(), None, "ä".repeat(400));
        assert_eq!(problem.message, "ä".repeat(150) + "…");
    }
}
