//! Writes spans as protobuf: the messages of OTLP's `trace.proto`, field by field.
//!
//! Through the generated messages each attribute would be a few allocations, and each span would be copied three times.

use std::fmt::{self, Write as _};

use opentelemetry::trace::SpanContext;
use prost::encoding::{WireType, encode_varint, encoded_len_varint, key_len};

/// The fields of a `Span`, and of the messages in it.
mod field {
    pub(super) const TRACE_ID: u32 = 1;
    pub(super) const SPAN_ID: u32 = 2;
    pub(super) const TRACE_STATE: u32 = 3;
    pub(super) const PARENT_SPAN_ID: u32 = 4;
    pub(super) const NAME: u32 = 5;
    pub(super) const KIND: u32 = 6;
    pub(super) const START: u32 = 7;
    pub(super) const END: u32 = 8;
    pub(super) const ATTRIBUTES: u32 = 9;
    pub(super) const DROPPED_ATTRIBUTES: u32 = 10;
    pub(super) const LINKS: u32 = 13;
    pub(super) const DROPPED_LINKS: u32 = 14;
    pub(super) const STATUS: u32 = 15;
    pub(super) const FLAGS: u32 = 16;

    pub(super) const LINK_FLAGS: u32 = 6;
    pub(super) const STATUS_MESSAGE: u32 = 2;
    pub(super) const STATUS_CODE: u32 = 3;
    pub(super) const KEY: u32 = 1;
    pub(super) const VALUE: u32 = 2;
    pub(super) const STRING: u32 = 1;
    pub(super) const BOOL: u32 = 2;
    pub(super) const INT: u32 = 3;
    pub(super) const DOUBLE: u32 = 4;
    pub(super) const ARRAY: u32 = 5;
    pub(super) const ARRAY_VALUES: u32 = 1;
}

/// `SpanFlags`: the flags of W3C Trace Context, and whether the other span is of another process.
const HAS_IS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;

/// `SpanKind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Internal = 1,
    Server = 2,
    Client = 3,
    Producer = 4,
    Consumer = 5,
}

/// `Status.StatusCode`, in the order of which counts more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum StatusCode {
    #[default]
    Unset,
    Error,
    Ok,
}

/// What a span has beside its name and its attributes.
#[derive(Debug)]
pub(super) struct Head<'a> {
    pub(super) context: &'a SpanContext,
    /// Invalid for a span that begins a trace.
    pub(super) parent: &'a SpanContext,
    pub(super) kind: Kind,
    /// In nanoseconds of Unix time.
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) dropped_attributes: u32,
    pub(super) links: &'a [SpanContext],
    pub(super) dropped_links: u32,
    pub(super) status: StatusCode,
    pub(super) description: &'a str,
}

/// A value of an attribute.
#[derive(Debug)]
pub(super) enum Value<'a> {
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(&'a str),
    Texts(&'a [String]),
}

// === spans ===

/// Appends the name of a span.
pub(super) fn put_name(span: &mut Vec<u8>, name: &str) {
    put_bytes(span, field::NAME, name.as_bytes());
}

/// Appends an attribute of a span.
pub(super) fn put_attribute(span: &mut Vec<u8>, key: &str, value: &Value<'_>) {
    let value_len = value.len();
    let pair_len = length_delimited(field::KEY, key.len()) + length_delimited(field::VALUE, value_len);
    put_length(span, field::ATTRIBUTES, pair_len);
    put_bytes(span, field::KEY, key.as_bytes());
    put_length(span, field::VALUE, value_len);
    value.put(span);
}

/// Appends an attribute of a span whose value is a text that is still to be formatted.
pub(super) fn put_formatted_attribute(span: &mut Vec<u8>, key: &str, value: fmt::Arguments<'_>) {
    let start = span.len();
    // Writing into memory does not fail; a value whose own formatting does is exported up to there.
    let _ = Text(span).write_fmt(value);
    let text_len = span.len() - start;
    let value_len = length_delimited(field::STRING, text_len);
    put_length(
        span,
        field::ATTRIBUTES,
        length_delimited(field::KEY, key.len()) + length_delimited(field::VALUE, value_len),
    );
    put_bytes(span, field::KEY, key.as_bytes());
    put_length(span, field::VALUE, value_len);
    put_length(span, field::STRING, text_len);
    // The length is known only now, but stands first.
    span[start..].rotate_left(text_len);
}

/// Appends everything else of a span.
pub(super) fn put_head(span: &mut Vec<u8>, head: &Head<'_>) {
    put_ids(span, head.context);
    if head.parent.is_valid() {
        put_bytes(span, field::PARENT_SPAN_ID, &head.parent.span_id().to_bytes());
    }
    put_varint_field(span, field::KIND, head.kind as u64);
    put_fixed64(span, field::START, head.start);
    put_fixed64(span, field::END, head.end);
    if head.dropped_attributes > 0 {
        put_varint_field(span, field::DROPPED_ATTRIBUTES, head.dropped_attributes.into());
    }
    for link in head.links {
        let state = link.trace_state().header();
        let state_len = if state.is_empty() { 0 } else { length_delimited(field::TRACE_STATE, state.len()) };
        let len = length_delimited(field::TRACE_ID, 16) + length_delimited(field::SPAN_ID, 8) + state_len + 5;
        put_length(span, field::LINKS, len);
        put_ids(span, link);
        put_flags(span, field::LINK_FLAGS, link, link.is_remote());
    }
    if head.dropped_links > 0 {
        put_varint_field(span, field::DROPPED_LINKS, head.dropped_links.into());
    }
    let description_len = match head.description.len() {
        0 => 0,
        len => length_delimited(field::STATUS_MESSAGE, len),
    };
    let code_len = if head.status == StatusCode::Unset { 0 } else { 2 };
    put_length(span, field::STATUS, description_len + code_len);
    if description_len > 0 {
        put_bytes(span, field::STATUS_MESSAGE, head.description.as_bytes());
    }
    match head.status {
        StatusCode::Unset => {}
        StatusCode::Ok => put_varint_field(span, field::STATUS_CODE, 1),
        StatusCode::Error => put_varint_field(span, field::STATUS_CODE, 2),
    }
    put_flags(span, field::FLAGS, head.context, head.parent.is_remote());
}

/// Appends the ids and the state of a span or of a link, whose fields have the same numbers.
fn put_ids(out: &mut Vec<u8>, context: &SpanContext) {
    put_bytes(out, field::TRACE_ID, &context.trace_id().to_bytes());
    put_bytes(out, field::SPAN_ID, &context.span_id().to_bytes());
    let state = context.trace_state().header();
    if !state.is_empty() {
        put_bytes(out, field::TRACE_STATE, state.as_bytes());
    }
}

fn put_flags(out: &mut Vec<u8>, field: u32, context: &SpanContext, is_remote: bool) {
    let remote = if is_remote { HAS_IS_REMOTE | IS_REMOTE } else { HAS_IS_REMOTE };
    put_key(out, field, WireType::ThirtyTwoBit);
    out.extend_from_slice(&(u32::from(context.trace_flags().to_u8()) | remote).to_le_bytes());
}

// === impl Value ===

impl Value<'_> {
    /// Returns the length of the value as an `AnyValue`.
    fn len(&self) -> usize {
        match self {
            Self::Bool(_) => 2,
            Self::Int(value) => key_len(field::INT) + encoded_len_varint(value.cast_unsigned()),
            Self::Double(_) => 9,
            Self::Text(text) => length_delimited(field::STRING, text.len()),
            Self::Texts(texts) => length_delimited(field::ARRAY, array_len(texts)),
        }
    }

    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Bool(value) => put_varint_field(out, field::BOOL, (*value).into()),
            Self::Int(value) => put_varint_field(out, field::INT, value.cast_unsigned()),
            Self::Double(value) => put_fixed64(out, field::DOUBLE, value.to_bits()),
            Self::Text(text) => put_bytes(out, field::STRING, text.as_bytes()),
            Self::Texts(texts) => {
                put_length(out, field::ARRAY, array_len(texts));
                for text in *texts {
                    put_length(out, field::ARRAY_VALUES, length_delimited(field::STRING, text.len()));
                    put_bytes(out, field::STRING, text.as_bytes());
                }
            }
        }
    }
}

fn array_len(texts: &[String]) -> usize {
    let len = |text: &String| length_delimited(field::ARRAY_VALUES, length_delimited(field::STRING, text.len()));
    texts.iter().map(len).sum()
}

// === the wire ===

fn put_key(out: &mut Vec<u8>, field: u32, wire_type: WireType) {
    put_varint(out, (field << 3 | wire_type as u32).into());
}

/// Appends a number. Most are small: a key, a length, a code.
fn put_varint(out: &mut Vec<u8>, value: u64) {
    match u8::try_from(value) {
        Ok(byte) if byte < 0x80 => out.push(byte),
        _ => encode_varint(value, out),
    }
}

/// Appends the beginning of a field that has this many bytes.
pub(super) fn put_length(out: &mut Vec<u8>, field: u32, len: usize) {
    put_key(out, field, WireType::LengthDelimited);
    put_varint(out, len as u64);
}

/// Appends a field of bytes or a text.
pub(super) fn put_bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    put_length(out, field, bytes.len());
    out.extend_from_slice(bytes);
}

/// Returns how long a field with this many bytes is.
pub(super) fn length_delimited(field: u32, len: usize) -> usize {
    key_len(field) + encoded_len_varint(len as u64) + len
}

fn put_varint_field(out: &mut Vec<u8>, field: u32, value: u64) {
    put_key(out, field, WireType::Varint);
    put_varint(out, value);
}

fn put_fixed64(out: &mut Vec<u8>, field: u32, value: u64) {
    put_key(out, field, WireType::SixtyFourBit);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Formats into bytes.
struct Text<'a>(&'a mut Vec<u8>);

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}
