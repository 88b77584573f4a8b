//! The fields of a protobuf message, without its schema.

/// A field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field<'a> {
    pub(super) number: u64,
    /// The offset of the field, with its key.
    pub(super) begin: usize,
    /// The offset after the field.
    pub(super) end: usize,
    /// The content if it has a length: a message, a text, bytes.
    pub(super) bytes: Option<&'a [u8]>,
    /// The offset of the content.
    pub(super) offset: usize,
}

/// A message ends or breaks in a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Broken {
    pub(super) offset: usize,
    pub(super) message: String,
}

/// Iterates over the fields of a message. Ends after an error.
pub(super) struct Fields<'a> {
    message: &'a [u8],
    at: usize,
    /// The offset of the message in the input.
    base: usize,
}

// === impl Fields ===

impl<'a> Fields<'a> {
    pub(super) fn new(message: &'a [u8], base: usize) -> Self {
        Self { message, at: 0, base }
    }

    fn broken(&self, message: impl Into<String>) -> Broken {
        Broken { offset: self.base + self.at, message: message.into() }
    }

    fn varint(&mut self) -> Result<u64, Broken> {
        let (mut value, mut shift) = (0_u64, 0);
        let mut at = self.at;
        loop {
            let Some(byte) = self.message.get(at) else { return Err(self.broken("the message is cut off")) };
            at += 1;
            if shift > 63 {
                return Err(self.broken("a number has more than 64 bits"));
            }
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if *byte < 0x80 {
                self.at = at;
                return Ok(value);
            }
        }
    }

    fn field(&mut self) -> Result<Field<'a>, Broken> {
        let begin = self.at;
        let key = self.varint()?;
        let (number, kind) = (key >> 3, key & 7);
        let length = match kind {
            _ if number == 0 => {
                return Err(Broken { offset: self.base + begin, message: "a field has number 0".into() });
            }
            0 => {
                self.varint()?;
                0
            }
            1 => 8,
            2 => usize::try_from(self.varint()?).unwrap_or(usize::MAX),
            5 => 4,
            _ => {
                let message = format!("field {number} has the wire type {kind}, expected 0, 1, 2 or 5");
                return Err(Broken { offset: self.base + begin, message });
            }
        };
        let offset = self.at;
        let left = &self.message[offset..];
        let Some(bytes) = left.get(..length) else {
            let message = format!("field {number} has {length} bytes, of which {} are there", left.len());
            return Err(self.broken(message));
        };
        self.at += length;
        let bytes = (kind == 2).then_some(bytes);
        let base = self.base;
        Ok(Field { number, begin: base + begin, end: base + self.at, bytes, offset: base + offset })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.message.len() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.at = self.message.len();
        }
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A number and a content, or the offset of an error.
    type Read<'a> = Result<(u64, Option<&'a [u8]>), usize>;

    fn read(message: &[u8]) -> Vec<Read<'_>> {
        let fields = Fields::new(message, 100);
        fields.map(|field| field.map(|field| (field.number, field.bytes)).map_err(|error| error.offset)).collect()
    }

    #[test]
    fn fields_have_numbers_and_contents() {
        assert_eq!(read(&[0x0a, 2, 7, 8, 0x10, 0x96, 0x01]), [Ok((1, Some(&[7, 8][..]))), Ok((2, None))]);
        assert_eq!(read(&[0x0d, 1, 2, 3, 4, 0x11, 1, 2, 3, 4, 5, 6, 7, 8]), [Ok((1, None)), Ok((2, None))]);
        assert_eq!(read(&[]), []);
    }

    #[test]
    fn a_broken_field_ends_the_message_and_says_where() {
        assert_eq!(read(&[0x0a, 1, 7, 0x0a, 5, 7]), [Ok((1, Some(&[7][..]))), Err(105)], "too short");
        assert_eq!(read(&[0x0b, 1]), [Err(100)], "a group");
        assert_eq!(read(&[0x02, 0]), [Err(100)], "number 0");
        assert_eq!(read(&[0x80]), [Err(100)], "no end");
        assert_eq!(read(&[0xff; 12]), [Err(100)], "too long");
        assert_eq!(read(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]), [Err(111)], "a huge length");
    }
}
