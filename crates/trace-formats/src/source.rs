//! A JSON text: places in it, and parts of it that are read by themselves.

use std::fmt::{self, Display, Formatter};

use serde::{
    Deserialize, Deserializer as _,
    de::{SeqAccess, Visitor},
};
use serde_json::{Deserializer, value::RawValue};

use crate::problem::{Fault, Position};

/// The text, which knows where a part of it is.
pub(crate) struct Source<'a> {
    text: &'a [u8],
}

/// Lines and columns of offsets in a text, for which it is walked through once.
pub(crate) struct Lines<'a> {
    text: &'a [u8],
    offset: usize,
    /// The number of the offset's line, and where that starts.
    line: usize,
    start: usize,
}

/// The way from the root of a document to a part of it.
#[derive(Clone, Copy)]
pub(crate) struct Path<'p> {
    parent: Option<&'p Path<'p>>,
    key: &'static str,
    index: Option<usize>,
}

/// Whether to go on with the next part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    Continue,
    /// A limit is reached.
    Stop,
}

// === impl Source ===

impl<'a> Source<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self { text }
    }

    /// Returns the offset of a part of this text.
    pub(crate) fn offset_of(&self, part: &str) -> usize {
        (part.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize)
    }

    /// Reads a part of this text as `T`.
    pub(crate) fn read<T: Deserialize<'a>>(&self, part: &'a RawValue, path: &Path<'_>) -> Result<T, Fault> {
        let text = part.get();
        let mut deserializer = Deserializer::from_str(text);
        serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
            let inner = error.path().to_string();
            let path = if inner == "." { path.to_string() } else { format!("{path}.{inner}") };
            let (offset, message) = explain(error.inner(), text.as_bytes());
            Fault::new(self.offset_of(text) + offset, path, None, message)
        })
    }

    /// Reads a list, one element after the other. `null` is an empty list.
    pub(crate) fn read_list(
        &self,
        list: &'a RawValue,
        path: &Path<'_>,
        each: impl FnMut(usize, &'a RawValue) -> Flow,
    ) -> Result<Flow, Fault> {
        let text = list.get();
        if text == "null" {
            return Ok(Flow::Continue);
        }
        let mut flow = Flow::Continue;
        let elements = Elements { each, flow: &mut flow };
        match Deserializer::from_str(text).deserialize_seq(elements) {
            Ok(()) => Ok(flow),
            // The rest of the list was not read.
            Err(_) if flow == Flow::Stop => Ok(flow),
            Err(error) => {
                let (offset, message) = explain(&error, text.as_bytes());
                Err(Fault::new(self.offset_of(text) + offset, path.to_string(), None, message))
            }
        }
    }
}

// === impl Lines ===

impl<'a> Lines<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self { text, offset: 0, line: 1, start: 0 }
    }

    /// Returns the line and column of an offset, no smaller than the one before.
    pub(crate) fn position(&mut self, offset: usize) -> Position {
        let offset = offset.clamp(self.offset, self.text.len().max(self.offset));
        for (index, byte) in (self.offset..).zip(&self.text[self.offset..offset]) {
            if *byte == b'\n' {
                (self.line, self.start) = (self.line + 1, index + 1);
            }
        }
        self.offset = offset;
        Position::Text { line: self.line, column: offset - self.start + 1 }
    }
}

/// Returns where the error is in the text, as an offset, and what it is.
pub(crate) fn explain(error: &serde_json::Error, text: &[u8]) -> (usize, String) {
    let message = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let message = message.strip_suffix(&place).unwrap_or(&message).to_owned();
    let message = if error.is_eof() { format!("{message}: the text is cut off here") } else { message };
    let mut start = 0;
    for _ in 1..error.line() {
        start += text[start..].iter().position(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    }
    // The column is the number of bytes that were read of the line.
    ((start + error.column().saturating_sub(1)).min(text.len()), message)
}

/// Visits the elements of a list.
struct Elements<'f, F> {
    each: F,
    flow: &'f mut Flow,
}

impl<'de, F: FnMut(usize, &'de RawValue) -> Flow> Visitor<'de> for Elements<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
        let mut index = 0;
        while let Some(element) = elements.next_element()? {
            *self.flow = (self.each)(index, element);
            if *self.flow == Flow::Stop {
                break;
            }
            index += 1;
        }
        Ok(())
    }
}

// === impl Path ===

impl Path<'static> {
    /// The document itself.
    pub(crate) const ROOT: Self = Self { parent: None, key: "", index: None };
}

impl Path<'_> {
    /// Returns the way to a member.
    pub(crate) fn key<'p>(&'p self, key: &'static str) -> Path<'p> {
        Path { parent: Some(self), key, index: None }
    }

    /// Returns the way to an element of the list that is a member.
    pub(crate) fn element<'p>(&'p self, key: &'static str, index: usize) -> Path<'p> {
        Path { parent: Some(self), key, index: Some(index) }
    }
}

impl Display for Path<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        // As deep as the formats are, which is four.
        let parent = self.parent.map(ToString::to_string).unwrap_or_default();
        let dot = if parent.is_empty() || self.key.is_empty() { "" } else { "." };
        write!(f, "{parent}{dot}{}", self.key)?;
        self.index.map_or(Ok(()), |index| write!(f, "[{index}]"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_lines_and_columns() {
        let mut lines = Lines::new(b"{\n  \"a\": [\n    1\n]}");
        let mut at = |offset| lines.position(offset);
        assert_eq!(at(0), Position::Text { line: 1, column: 1 });
        assert_eq!(at(4), Position::Text { line: 2, column: 3 });
        assert_eq!(at(15), Position::Text { line: 3, column: 5 });
        assert_eq!(at(15), Position::Text { line: 3, column: 5 }, "again");
        assert_eq!(at(100), Position::Text { line: 4, column: 3 }, "the end");
    }

    #[test]
    fn a_path_reads_like_javascript() {
        let (root, list) = (Path::ROOT, Path::ROOT.element("data", 3));
        assert_eq!(root.to_string(), "");
        assert_eq!(list.element("spans", 2).key("tags").to_string(), "data[3].spans[2].tags");
        assert_eq!(root.element("", 1).to_string(), "[1]");
    }

    #[test]
    fn an_error_in_a_part_has_its_place_in_the_whole() {
        #[derive(Debug, Deserialize)]
        struct Part {
            #[serde(rename = "n")]
            _n: Vec<u8>,
        }
        let text = b"[\n  {\"n\": [1]},\n  {\"n\": [1,\n 300]}]";
        let source = Source::new(text);
        let whole: &RawValue = serde_json::from_slice(text).unwrap();
        let mut problems = Vec::new();
        let flow = source.read_list(whole, &Path::ROOT, |index, part| {
            problems.extend(source.read::<Part>(part, &Path::ROOT.element("", index)).err());
            Flow::Continue
        });
        assert_eq!(flow, Ok(Flow::Continue));
        let [fault] = &problems[..] else { panic!("{problems:?}") };
        let problem = fault.clone().at(Lines::new(text).position(fault.offset));
        assert_eq!(problem.to_string(), "line 4, column 4: [1].n[1]: invalid value: integer `300`, expected u8");
    }
}
