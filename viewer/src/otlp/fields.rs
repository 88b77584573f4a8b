//! The fields of an encoded message, one after the other: nothing is collected, and nothing is decoded that is not
//! wanted.

use bytes::{Buf, Bytes};
use prost::{
    DecodeError,
    encoding::{self, DecodeContext, WireType},
};

/// The fields of a message. Ends after an error.
#[derive(Clone, Debug)]
pub(crate) struct Fields {
    rest: Bytes,
    with_length: u32,
}

/// One field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) number: u32,
    /// Its content, if it has a length: a message, a text, bytes.
    pub(crate) bytes: Option<Bytes>,
}

// === impl Fields ===

impl Fields {
    /// Returns the fields of a message. Those up to the number `with_length` are messages or texts: if one is not,
    /// that is an error.
    pub(crate) fn new(message: Bytes, with_length: u32) -> Self {
        Self { rest: message, with_length }
    }

    fn read(&mut self) -> Result<Field, DecodeError> {
        let (number, wire_type) = encoding::decode_key(&mut self.rest)?;
        if wire_type == WireType::LengthDelimited || number <= self.with_length {
            let mut bytes = Bytes::new();
            encoding::bytes::merge(wire_type, &mut bytes, &mut self.rest, DecodeContext::default())?;
            return Ok(Field { number, bytes: Some(bytes) });
        }
        encoding::skip_field(wire_type, number, &mut self.rest, DecodeContext::default())?;
        Ok(Field { number, bytes: None })
    }
}

impl Iterator for Fields {
    type Item = Result<Field, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if !self.rest.has_remaining() {
            return None;
        }
        let field = self.read();
        if field.is_err() {
            self.rest.clear();
        }
        Some(field)
    }
}
