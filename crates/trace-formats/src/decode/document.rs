//! JSON: documents one after the other, and which format each of them is.

use serde::{
    Deserialize, Deserializer as _,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::{Deserializer, value::RawValue};
use std::fmt;

use super::{DecodeError, EXPECTED, Format};
use crate::{
    jaeger, otlp,
    problem::Fault,
    sink::Sink,
    source::{Flow, Lines, Path, Source, explain},
    zipkin,
};

/// The keys of an unknown object that are named.
const MAX_KEYS: usize = 4;

/// How many times the length of a text is read in search of documents after broken ones.
const MAX_WASTE: usize = 4;

/// The members by which formats are told apart.
#[derive(Deserialize)]
struct Shape<'a> {
    #[serde(borrow, rename = "resourceSpans", alias = "resource_spans", alias = "batches")]
    resource_spans: Option<&'a RawValue>,
    /// Grafana Tempo has OTLP in it.
    #[serde(borrow)]
    trace: Option<&'a RawValue>,
    #[serde(borrow, rename = "resourceMetrics", alias = "resource_metrics")]
    resource_metrics: Option<&'a RawValue>,
    #[serde(borrow, rename = "resourceLogs", alias = "resource_logs")]
    resource_logs: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    spans: Option<&'a RawValue>,
    #[serde(borrow, rename = "traceId")]
    trace_id: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
}

/// Reads all documents. Returns the format of the first one that has any.
pub(super) fn decode(bytes: &[u8], sink: &mut Sink<'_>) -> Result<Option<Format>, DecodeError> {
    let source = Source::new(bytes);
    let (mut offset, mut format) = (0, None);
    // How much was read of documents that are broken. Each may be read up to the end of the text before that is seen.
    let mut wasted = 0;
    loop {
        offset += blank(&bytes[offset..]);
        let rest = &bytes[offset..];
        let Some(first) = rest.first() else { return Ok(format) };
        if format.is_none() && !b"{[".contains(first) {
            let message = format!("expected {EXPECTED}, found {}", begin_of(rest));
            let fault = Fault::new(offset, String::new(), None, message);
            return Err(DecodeError::Unrecognized(fault.at(Lines::new(bytes).position(offset))));
        }
        let mut documents = Deserializer::from_slice(rest).into_iter::<&RawValue>();
        match documents.next() {
            Some(Ok(document)) => {
                let read = one(document, &source, sink);
                if read.is_none() && format.is_none() {
                    return Ok(None);
                }
                format = format.or(read);
                offset += documents.byte_offset();
            }
            Some(Err(error)) => {
                let (at, message) = explain(&error, rest);
                sink.report(Fault::new(offset + at, String::new(), None, message));
                format = format.or_else(|| guess(rest));
                // The next document, if each has a line.
                wasted += at;
                match next_line(rest) {
                    // So that the time stays linear.
                    Some(next) if wasted <= MAX_WASTE * bytes.len() => offset += next,
                    _ => return Ok(format),
                }
            }
            None => return Ok(format),
        }
        if sink.flow() == Flow::Stop {
            return Ok(format);
        }
    }
}

/// Reads a document. Returns its format; reports that it has none.
fn one<'a>(document: &'a RawValue, source: &Source<'a>, sink: &mut Sink<'_>) -> Option<Format> {
    if document.get().starts_with('[') {
        return list(document, source, sink);
    }
    let shape: Shape<'a> = match source.read(document, &Path::ROOT) {
        Ok(shape) => shape,
        Err(fault) => {
            sink.report(fault);
            return None;
        }
    };
    let root = Path::ROOT;
    if let Some(list) = shape.resource_spans {
        otlp::json::decode(list, &root, source, sink);
        return Some(Format::OtlpJson);
    }
    if shape.resource_metrics.is_some() || shape.resource_logs.is_some() {
        return Some(Format::OtlpJson);
    }
    if let Some(data) = shape.data {
        jaeger::decode::traces(data, source, sink);
        return Some(Format::JaegerJson);
    }
    if shape.spans.is_some() {
        jaeger::decode::trace(document, &root, source, sink);
        return Some(Format::JaegerJson);
    }
    if shape.trace_id.is_some() && shape.id.is_some() {
        zipkin::decode::span(document, source, sink);
        return Some(Format::ZipkinJson);
    }
    if let Some(trace) = shape.trace.filter(|trace| trace.get().starts_with('{'))
        && let Ok(Shape { resource_spans: Some(list), .. }) = source.read(trace, &root)
    {
        otlp::json::decode(list, &root.key("trace"), source, sink);
        return Some(Format::OtlpJson);
    }
    let message = format!("expected {EXPECTED}, found {}", keys_of(document));
    sink.report(Fault::new(source.offset_of(document.get()), String::new(), None, message));
    None
}

/// Reads a list: of spans or of lists of spans (Zipkin), or of documents.
fn list<'a>(list: &'a RawValue, source: &Source<'a>, sink: &mut Sink<'_>) -> Option<Format> {
    let mut first = None;
    // Only to look at the first element.
    _ = source.read_list(list, &Path::ROOT, |_, element| {
        first = Some(element);
        Flow::Stop
    });
    let Some(first) = first else { return Some(Format::ZipkinJson) };
    let is_span = |element: &'a RawValue| {
        matches!(source.read(element, &Path::ROOT), Ok(Shape { trace_id: Some(_), id: Some(_), .. }))
    };
    if first.get().starts_with('[') || is_span(first) {
        zipkin::decode::list(list, source, sink);
        return Some(Format::ZipkinJson);
    }
    let mut format = None;
    let read = source.read_list(list, &Path::ROOT, |_, element| {
        // A list in a list is no document: no recursion over the input.
        if element.get().starts_with('{') {
            format = format.or(one(element, source, sink));
        } else {
            let message = format!("expected {EXPECTED}, found a list of other values");
            sink.report(Fault::new(source.offset_of(element.get()), String::new(), None, message));
        }
        sink.flow()
    });
    if let Err(fault) = read {
        sink.report(fault);
    }
    format
}

/// Returns the length of the white space at the beginning, and of byte order marks, which some programs write.
fn blank(text: &[u8]) -> usize {
    let mut rest = text;
    loop {
        let trimmed = rest.trim_ascii_start();
        match trimmed.strip_prefix(b"\xef\xbb\xbf") {
            Some(after) => rest = after,
            None => return text.len() - trimmed.len(),
        }
    }
}

/// Returns the format of a document that is broken, by its first key.
fn guess(document: &[u8]) -> Option<Format> {
    let begin = document.get(..document.len().min(256)).unwrap_or_default();
    let has = |key: &[u8]| begin.windows(key.len()).any(|window| window == key);
    if has(b"\"resourceSpans\"") || has(b"\"resource_spans\"") || has(b"\"batches\"") {
        return Some(Format::OtlpJson);
    }
    if has(b"\"data\"") {
        return Some(Format::JaegerJson);
    }
    (document.starts_with(b"[") && has(b"\"traceId\"")).then_some(Format::ZipkinJson)
}

/// Returns the offset of the next line that begins a document. Lines of a document in several lines are indented.
fn next_line(text: &[u8]) -> Option<usize> {
    text.windows(2).position(|pair| matches!(pair, b"\n{" | b"\n[")).map(|newline| newline + 1)
}

/// Describes an object that is no trace.
fn keys_of(document: &RawValue) -> String {
    struct Keys(Vec<String>);
    impl<'de> Visitor<'de> for &mut Keys {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
            while let Some((key, IgnoredAny)) = members.next_entry::<String, _>()? {
                if self.0.len() <= MAX_KEYS {
                    self.0.push(key);
                }
            }
            Ok(())
        }
    }
    let mut keys = Keys(Vec::new());
    if Deserializer::from_str(document.get()).deserialize_map(&mut keys).is_err() {
        return begin_of(document.get().as_bytes());
    }
    let more = if keys.0.len() > MAX_KEYS { ", …" } else { "" };
    let names: Vec<_> = keys.0.iter().take(MAX_KEYS).map(|key| format!("`{key}`")).collect();
    match names.len() {
        0 => "an empty object".to_owned(),
        1 => format!("an object with the key {}", names[0]),
        _ => format!("an object with the keys {}{more}", names.join(", ")),
    }
}

/// Describes how a text begins.
fn begin_of(text: &[u8]) -> String {
    let begin: String = String::from_utf8_lossy(&text[..text.len().min(48)]).chars().take(12).collect();
    format!("what begins with {begin:?}")
}
