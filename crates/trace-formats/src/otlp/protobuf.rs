//! Reads OTLP as protobuf: `TracesData` and `ExportTraceServiceRequest`, which have the same fields.
//!
//! The outer messages are walked through field by field and each span is decoded by itself, so that a broken one does
//! not lose the others.

mod fields;

use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;

use self::fields::{Field, Fields};
use crate::{id, items::Items, problem::Fault, sink::Sink, source::Flow};

/// `TracesData.resource_spans`, with its wire type.
const RESOURCE_SPANS: u8 = 0x0a;

/// How messages follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// One message is the whole input. Several in a row read as one.
    Whole,
    /// Each message has its length in front of it, 4 bytes big-endian, as the collector's file exporter writes them.
    Lengths,
}

/// Returns how the messages are framed if the input is protobuf.
pub(crate) fn detect(input: &[u8]) -> Option<Framing> {
    match input {
        [0, _, _, _, RESOURCE_SPANS, ..] => Some(Framing::Lengths),
        [RESOURCE_SPANS, ..] => {
            // A line feed, before a JSON document?
            let text = input.trim_ascii_start();
            let may_be_json = text.is_empty() || text.starts_with(b"{") || text.starts_with(b"[");
            (!may_be_json || is_well_formed(input)).then_some(Framing::Whole)
        }
        _ => None,
    }
}

/// Returns whether the input has nothing but `ResourceSpans`, and their fields are well-formed too.
fn is_well_formed(input: &[u8]) -> bool {
    Fields::new(input, 0).all(|field| {
        field.is_ok_and(|field| {
            field.number == 1 && field.bytes.is_some_and(|bytes| Fields::new(bytes, 0).all(|field| field.is_ok()))
        })
    })
}

/// Reads all messages.
pub(crate) fn decode(input: &[u8], framing: Framing, sink: &mut Sink<'_>) {
    match framing {
        Framing::Whole => traces(input, 0, sink),
        Framing::Lengths => {
            let mut offset = 0;
            while let Some((length, rest)) = input[offset..].split_first_chunk::<4>() {
                let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
                offset += 4;
                if length > rest.len() {
                    let message = format!("a message of {length} bytes is cut off after {}", rest.len());
                    report(sink, offset, String::new(), None, message);
                }
                traces(&rest[..length.min(rest.len())], offset, sink);
                offset += length.min(rest.len());
                if sink.flow() == Flow::Stop {
                    return;
                }
            }
            if offset < input.len() {
                report(sink, offset, String::new(), None, "the length of a message is cut off");
            }
        }
    }
}

fn traces(message: &[u8], offset: usize, sink: &mut Sink<'_>) {
    let mut index = 0;
    each(message, offset, "", sink, |field, sink| {
        if let (1, Some(bytes)) = (field.number, field.bytes) {
            resource_spans(bytes, field.offset, index, sink);
            index += 1;
        }
    });
}

fn resource_spans(message: &[u8], offset: usize, index: usize, sink: &mut Sink<'_>) {
    let path = format!("resource_spans[{index}]");
    let (mut rest, mut scopes) = (ResourceSpans::default(), Vec::new());
    let (mut scope, mut is_too_much) = (0, false);
    each(message, offset, &path, sink, |field, sink| {
        if let (2, Some(bytes)) = (field.number, field.bytes) {
            scopes.extend(scope_spans(bytes, field.offset, &format!("{path}.scope_spans[{scope}]"), sink));
            scope += 1;
        } else {
            let encoded = &message[field.begin - offset..field.end - offset];
            is_too_much |= merge(&mut rest, "resource", encoded, &field, &path, sink) == Flow::Stop;
        }
    });
    // In any order of the fields, as in JSON: spans whose resource is left out would seem to be of another service.
    if !scopes.is_empty() && !is_too_much {
        rest.scope_spans = scopes;
        sink.spans.push(rest);
    }
}

fn scope_spans(message: &[u8], offset: usize, path: &str, sink: &mut Sink<'_>) -> Option<ScopeSpans> {
    let (mut rest, mut spans) = (ScopeSpans::default(), Vec::new());
    let (mut index, mut is_too_much) = (0, false);
    each(message, offset, path, sink, |field, sink| {
        if let (2, Some(bytes)) = (field.number, field.bytes) {
            span(bytes, field.offset, || format!("{path}.spans[{index}]"), &mut spans, sink);
            index += 1;
        } else {
            let encoded = &message[field.begin - offset..field.end - offset];
            is_too_much |= merge(&mut rest, "scope", encoded, &field, path, sink) == Flow::Stop;
        }
    });
    rest.spans = spans;
    (!rest.spans.is_empty() && !is_too_much).then_some(rest)
}

fn span(message: &[u8], offset: usize, path: impl Fn() -> String, spans: &mut Vec<Span>, sink: &mut Sink<'_>) {
    if let Err(reason) = sink.check_size("span", message.len()) {
        return report(sink, offset, path(), None, reason);
    }
    match Span::decode(message) {
        Ok(span) => _ = sink.add(spans, span, || (offset, path())),
        Err(error) => {
            let known = Fields::new(message, 0).map_while(Result::ok).find(|field| field.number == 2);
            let id = known.and_then(|field| field.bytes).map(id::hex);
            report(sink, offset, path(), id, error.to_string());
        }
    }
}

/// Calls `each` with each field of the message until one is broken.
fn each(
    message: &[u8],
    offset: usize,
    path: &str,
    sink: &mut Sink<'_>,
    mut each: impl FnMut(Field<'_>, &mut Sink<'_>),
) {
    for field in Fields::new(message, offset) {
        match field {
            Ok(field) => each(field, sink),
            Err(error) => report(sink, error.offset, path.to_owned(), None, error.message),
        }
        if sink.flow() == Flow::Stop {
            return;
        }
    }
}

/// Adds a field other than the spans, which is encoded like this, to a message. It is what the message has besides them.
///
/// Returns [`Flow::Stop`] if that is more than is allowed: it is not added, and neither is anything after it.
fn merge<M: prost::Message + Default + Items>(
    into: &mut M,
    what: &str,
    encoded: &[u8],
    field: &Field<'_>,
    path: &str,
    sink: &mut Sink<'_>,
) -> Flow {
    // By itself, because it may come again and again, each time with more.
    let part =
        sink.check_size(what, encoded.len()).and_then(|()| M::decode(encoded).map_err(|error| error.to_string()));
    let added = part.and_then(|part| match sink.add_items(what, &part, || (field.begin, path.to_owned())) {
        Flow::Continue => into.merge(encoded).map_err(|error| error.to_string()),
        Flow::Stop => Ok(()),
    });
    if let Err(message) = added {
        report(sink, field.begin, path.to_owned(), None, message);
    }
    sink.flow()
}

fn report(sink: &mut Sink<'_>, offset: usize, path: String, span: Option<String>, message: impl AsRef<str>) {
    sink.report(Fault::new(offset, path, span, message));
}
