//! Traces in one line a span.

#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

use std::time::Duration;

use overlap::{Analysis, Evidence, FanOut, Link, Span, SpanId, SpanIndex, SpanKind, Trace, TraceId, Value};

pub const MS: u64 = 1_000_000;
pub const TRACE: TraceId = TraceId([7; 16]);
/// Where the tests' traces begin.
pub const EPOCH: u64 = 1_700_000_000_000_000_000;

pub fn id(number: u64) -> SpanId {
    SpanId(number.to_be_bytes())
}

/// Returns a span of service "app" in milliseconds since [`EPOCH`]. Parent 0 is none.
pub fn span(number: u64, parent: u64, kind: SpanKind, name: &str, start: u64, end: u64) -> Span {
    Span {
        trace_id: TRACE,
        span_id: id(number),
        parent: (parent != 0).then(|| id(parent)),
        kind,
        service: "app".into(),
        name: name.into(),
        start: EPOCH + start * MS,
        end: EPOCH + end * MS,
        error: false,
        attributes: Vec::new(),
        links: Vec::new(),
    }
}

pub fn internal(number: u64, parent: u64, name: &str, start: u64, end: u64) -> Span {
    span(number, parent, SpanKind::Internal, name, start, end)
}

pub fn client(number: u64, parent: u64, name: &str, start: u64, end: u64) -> Span {
    span(number, parent, SpanKind::Client, name, start, end)
}

pub fn server(number: u64, parent: u64, name: &str, start: u64, end: u64) -> Span {
    span(number, parent, SpanKind::Server, name, start, end)
}

/// Changes a span in passing.
pub trait With: Sized {
    fn service(self, service: &str) -> Self;
    fn attribute(self, key: &str, value: Value) -> Self;
    fn link(self, to: u64) -> Self;
}

impl With for Span {
    fn service(mut self, service: &str) -> Self {
        self.service = service.into();
        self
    }

    fn attribute(mut self, key: &str, value: Value) -> Self {
        self.attributes.push((key.into(), value));
        self
    }

    fn link(mut self, to: u64) -> Self {
        self.links.push(Link { trace_id: TRACE, span_id: id(to) });
        self
    }
}

pub fn trace(spans: Vec<Span>) -> Trace {
    Trace::new(TRACE, spans)
}

pub fn find(trace: &Trace, number: u64) -> SpanIndex {
    trace.find(id(number)).unwrap_or_else(|| panic!("no span {number}"))
}

/// Returns the times of a span in milliseconds since [`EPOCH`].
pub fn times(trace: &Trace, number: u64) -> (u64, u64) {
    let span = trace.span(find(trace, number));
    ((span.start - EPOCH) / MS, (span.end - EPOCH) / MS)
}

pub fn problems(trace: &Trace) -> Vec<String> {
    trace.problems().iter().map(ToString::to_string).collect()
}

pub fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub fn analysis(trace: &Trace) -> Analysis {
    Analysis::of(trace, &Evidence::default())
}

/// Returns the figures of span 1.
pub fn fan_out(spans: Vec<Span>) -> FanOut {
    let trace = trace(spans);
    analysis(&trace).fan_out(find(&trace, 1)).expect("span 1 makes calls").clone()
}
