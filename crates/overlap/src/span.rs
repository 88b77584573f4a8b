//! What a span is here: the part of an OpenTelemetry span that the analysis reads.

use std::{fmt, str::FromStr, sync::Arc};

use crate::hex;

/// Text that many spans share: service names, span names, keys of attributes.
pub type Text = Arc<str>;

/// The id of a trace: 16 bytes, written in lower-case hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId(pub [u8; 16]);

/// The id of a span within its trace: 8 bytes, written in lower-case hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanId(pub [u8; 8]);

/// A text that is not the hexadecimal form of an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdError {
    given: String,
    digits: usize,
}

/// The side of a call that a span stands on, as in OpenTelemetry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum SpanKind {
    /// Nothing was said; read as [`Internal`](Self::Internal).
    #[default]
    Unspecified,
    /// Work within one process.
    Internal,
    /// The handling of a remote request.
    Server,
    /// A remote request, from the side of the caller.
    Client,
    /// A message that was sent, and that somebody handles later.
    Producer,
    /// The handling of such a message.
    Consumer,
}

/// The value of an attribute. Lists, maps and bytes are rendered as text by who converts.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(untagged))]
pub enum Value {
    /// A string.
    Text(Text),
    /// A boolean.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A floating-point number.
    Double(f64),
}

/// A reference to another span, which may be in another trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Link {
    /// The other span's trace.
    pub trace_id: TraceId,
    /// The other span.
    pub span_id: SpanId,
}

/// One operation of one service: when it ran, what it belongs to, what is known about it.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Span {
    /// The trace that it belongs to.
    pub trace_id: TraceId,
    /// Its own id.
    pub span_id: SpanId,
    /// The span that it is a part of; `None` for a root.
    pub parent: Option<SpanId>,
    /// Its side of a call.
    pub kind: SpanKind,
    /// The service that exported it: `service.name` of the resource.
    pub service: Text,
    /// Its name.
    pub name: Text,
    /// The start in nanoseconds since the Unix epoch.
    pub start: u64,
    /// The end in nanoseconds since the Unix epoch.
    pub end: u64,
    /// Whether its status is an error.
    pub error: bool,
    /// What is known about it. The first of several with one key counts.
    pub attributes: Vec<(Text, Value)>,
    /// The spans that it refers to.
    pub links: Vec<Link>,
}

// === impl TraceId ===

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write(&self.0, f)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write(&self.0, f)
    }
}

impl FromStr for TraceId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        parse_hex(text).map(Self)
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for TraceId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

// === impl SpanId ===

impl SpanId {
    /// Returns whether this is the id of 8 zeros, which OpenTelemetry keeps for "no span".
    pub fn is_zero(self) -> bool {
        self.0 == [0; 8]
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write(&self.0, f)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write(&self.0, f)
    }
}

impl FromStr for SpanId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        parse_hex(text).map(Self)
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for SpanId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn parse_hex<const N: usize>(text: &str) -> Result<[u8; N], IdError> {
    let mut bytes = [0; N];
    let error = || IdError { given: text.chars().take(64).collect(), digits: 2 * N };
    hex::read(text, &mut bytes).ok_or_else(error)?;
    Ok(bytes)
}

// === impl IdError ===

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not an id: it takes {} hexadecimal digits", self.given.escape_debug(), self.digits)
    }
}

impl std::error::Error for IdError {}

// === impl SpanKind ===

impl SpanKind {
    /// Returns the name in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::Internal => "internal",
            Self::Server => "server",
            Self::Client => "client",
            Self::Producer => "producer",
            Self::Consumer => "consumer",
        }
    }
}

impl fmt::Display for SpanKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

// === impl Value ===

impl Value {
    /// Returns the text if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Bool(_) | Self::Int(_) | Self::Double(_) => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.pad(text),
            Self::Bool(value) => value.fmt(f),
            Self::Int(value) => value.fmt(f),
            Self::Double(value) => value.fmt(f),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

// === impl Span ===

impl Span {
    /// Returns the value of an attribute; of several with this key, the first.
    pub fn attribute(&self, key: &str) -> Option<&Value> {
        self.attributes.iter().find(|(name, _)| &**name == key).map(|(_, value)| value)
    }

    /// Returns the duration in nanoseconds; 0 if it ends before it starts.
    pub fn nanos(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Returns the duration; zero if it ends before it starts.
    pub fn duration(&self) -> std::time::Duration {
        std::time::Duration::from_nanos(self.nanos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_written_and_read_in_hexadecimal() {
        let id: TraceId = "0102030405060708090A0b0c0d0e0fff".parse().unwrap();
        assert_eq!(id.to_string(), "0102030405060708090a0b0c0d0e0fff");
        assert_eq!("00f067aa0ba902b7".parse(), Ok(SpanId([0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7])));
    }

    #[test]
    fn other_texts_are_refused_with_what_is_allowed() {
        for bad in ["", "0", "00f067aa0ba902b", "00f067aa0ba902bg", "+0f067aa0ba902b7", "00f067aa0ba902é", "é"] {
            let error = bad.parse::<SpanId>().unwrap_err().to_string();
            assert_eq!(error, format!("`{bad}` is not an id: it takes 16 hexadecimal digits"));
        }
    }
}
