//! A JSON text: places in it, and parts of it that are read by themselves.

use std::{
    cell::Cell,
    fmt::{self, Display, Formatter},
};

use serde::{
    Deserialize, Deserializer as _,
    de::{SeqAccess, Visitor},
};
use serde_json::{Deserializer, value::RawValue};

use crate::problem::{Position, Problem};

/// The text, which knows where a part of it is.
pub(crate) struct Source<'a> {
    text: &'a [u8],
    /// An offset and the offset and number of its line: problems mostly come in the order of the text.
    last: Cell<(usize, usize, usize)>,
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
        Self { text, last: Cell::new((0, 0, 1)) }
    }

    /// Returns the line and column of an offset.
    pub(crate) fn position(&self, offset: usize) -> Position {
        let offset = offset.min(self.text.len());
        let (known, mut start, mut line) = self.last.get();
        let mut from = known;
        if offset < known {
            (from, start, line) = (0, 0, 1);
        }
        for (index, byte) in self.text[from..offset].iter().enumerate() {
            if *byte == b'\n' {
                (start, line) = (from + index + 1, line + 1);
            }
        }
        self.last.set((offset, start, line));
        Position::Text { line, column: offset - start + 1 }
    }

    /// Returns the position of a part of this text.
    pub(crate) fn position_of(&self, part: &str) -> Position {
        self.position(self.offset_of(part))
    }

    fn offset_of(&self, part: &str) -> usize {
        (part.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize)
    }

    /// Reads a part of this text as `T`.
    pub(crate) fn read<T: Deserialize<'a>>(&self, part: &'a RawValue, path: &Path<'_>) -> Result<T, Problem> {
        let text = part.get();
        let mut deserializer = Deserializer::from_str(text);
        serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
            let inner = error.path().to_string();
            let path = if inner == "." { path.to_string() } else { format!("{path}.{inner}") };
            let (offset, message) = explain(error.inner(), text.as_bytes());
            Problem::new(self.position(self.offset_of(text) + offset), path, None, message)
        })
    }

    /// Reads a list, one element after the other. `null` is an empty list.
    pub(crate) fn read_list(
        &self,
        list: &'a RawValue,
        path: &Path<'_>,
        each: impl FnMut(usize, &'a RawValue) -> Flow,
    ) -> Result<Flow, Problem> {
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
                let position = self.position(self.offset_of(text) + offset);
                Err(Problem::new(position, path.to_string(), None, message))
            }
        }
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
        let source = Source::new(b"{\n  \"a\": [\n    1\n]}");
        let at = |offset| source.position(offset);
        assert_eq!(at(0), Position::Text { line: 1, column: 1 });
        assert_eq!(at(15), Position::Text { line: 3, column: 5 });
        assert_eq!(at(4), Position::Text { line: 2, column: 3 }, "back again");
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
        let [problem] = &problems[..] else { panic!("{problems:?}") };
        assert_eq!(problem.to_string(), "line 4, column 4: [1].n[1]: invalid value: integer `300`, expected u8");
    }
}
