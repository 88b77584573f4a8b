//! Collects what was read, within limits.

use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span, span::SpanKind, status::StatusCode};

use crate::{
    id,
    items::Items,
    limits::Limits,
    problem::{Fault, Position, Problem},
    source::{Flow, Lines},
};

/// What was read so far.
pub(crate) struct Sink<'l> {
    pub(crate) limits: &'l Limits,
    pub(crate) spans: Vec<ResourceSpans>,
    faults: Vec<Fault>,
    pub(crate) more_problems: usize,
    count: usize,
    items: usize,
    is_full: bool,
}

// === impl Sink ===

impl<'l> Sink<'l> {
    pub(crate) fn new(limits: &'l Limits) -> Self {
        let (spans, faults) = (Vec::new(), Vec::new());
        Self { limits, spans, faults, more_problems: 0, count: 0, items: 0, is_full: false }
    }

    /// Notes a fault, or counts it if there are many.
    pub(crate) fn report(&mut self, fault: Fault) {
        if self.faults.len() < self.limits.problems {
            self.faults.push(fault);
        } else {
            self.more_problems += 1;
        }
    }

    /// Takes the faults, in the order in which they were noted, with their places in this input.
    pub(crate) fn problems(&mut self, input: &[u8], is_text: bool) -> Vec<Problem> {
        let faults = std::mem::take(&mut self.faults);
        let mut positions: Vec<_> = faults.iter().map(|fault| Position::Byte(fault.offset)).collect();
        if is_text {
            let mut by_offset: Vec<usize> = (0..faults.len()).collect();
            by_offset.sort_by_key(|index| faults[*index].offset);
            let mut lines = Lines::new(input);
            for index in by_offset {
                positions[index] = lines.position(faults[index].offset);
            }
        }
        faults.into_iter().zip(positions).map(|(fault, position)| fault.at(position)).collect()
    }

    /// Returns why a span, a resource or a scope that is encoded in this many bytes is not read.
    pub(crate) fn check_size(&self, what: &str, bytes: usize) -> Result<(), String> {
        let most = self.limits.span_bytes;
        if bytes > most { Err(format!("a {what} of {bytes} bytes, at most {most} are allowed")) } else { Ok(()) }
    }

    /// Adds a span that was read at this place to `spans`, unless it is invalid.
    pub(crate) fn add(
        &mut self,
        spans: &mut Vec<Span>,
        mut span: Span,
        place: impl FnOnce() -> (usize, String),
    ) -> Flow {
        let room = check(&mut span).and_then(|()| {
            self.count += 1;
            self.room("span", span.items())
        });
        let Err(reason) = room else {
            spans.push(span);
            return Flow::Continue;
        };
        let (offset, path) = place();
        let id = Some(id::hex(&span.span_id)).filter(|id| !id.is_empty());
        self.report(Fault::new(offset, path, id, reason));
        self.flow()
    }

    /// Adds what a resource or a scope has that was read at this place. If that is too much, nothing more is read.
    pub(crate) fn add_items(&mut self, what: &str, of: &impl Items, place: impl FnOnce() -> (usize, String)) -> Flow {
        if let Err(reason) = self.room(what, of.items()) {
            let (offset, path) = place();
            self.report(Fault::new(offset, path, None, reason));
        }
        self.flow()
    }

    /// Returns why there is no more room for this, and for anything after it.
    fn room(&mut self, what: &str, items: usize) -> Result<(), String> {
        let Limits { spans, items: most, .. } = *self.limits;
        self.items = self.items.saturating_add(items);
        let limit = if self.count > spans {
            format!("{spans} spans")
        } else if self.items > most {
            format!("{most} attributes, events and links")
        } else {
            return Ok(());
        };
        self.is_full = true;
        Err(format!("this {what} and all after it are left out: at most {limit} are read"))
    }

    /// Returns whether there is room for more.
    pub(crate) fn flow(&self) -> Flow {
        if self.is_full { Flow::Stop } else { Flow::Continue }
    }
}

/// Returns what is missing in a span without which it cannot be a part of a trace. A parent of zeros is none.
fn check(span: &mut Span) -> Result<(), String> {
    if span.parent_span_id.iter().all(|byte| *byte == 0) {
        span.parent_span_id.clear();
    }
    let expected = |what: &str, id: &[u8], bytes: usize| {
        let given = if id.is_empty() { "none".to_owned() } else { format!("`{}`", id::hex(id)) };
        format!("the {what} is {given}, expected {bytes} bytes that are not all zero")
    };
    if !id::is_valid(&span.trace_id, id::TRACE) {
        return Err(expected("trace id", &span.trace_id, id::TRACE));
    }
    if !id::is_valid(&span.span_id, id::SPAN) {
        return Err(expected("span id", &span.span_id, id::SPAN));
    }
    if !span.parent_span_id.is_empty() && span.parent_span_id.len() != id::SPAN {
        return Err(expected("parent's id", &span.parent_span_id, id::SPAN));
    }
    if span.start_time_unix_nano == 0 {
        return Err("it has no start time".to_owned());
    }
    // Protobuf holds any number; what is written of it has to be read again.
    if SpanKind::try_from(span.kind).is_err() {
        return Err(format!("its kind is {}, expected 0 to 5", span.kind));
    }
    let code = span.status.as_ref().map_or(0, |status| status.code);
    if StatusCode::try_from(code).is_err() {
        return Err(format!("its status code is {code}, expected 0 to 2"));
    }
    Ok(())
}
