//! The document of `fanout analyze --json`.
//!
//! One object. All durations are numbers of milliseconds, and times count from the start of the trace; all names are
//! stable.
//!
//! ```json
//! {
//!   "inputs": [{"file": "trace.json", "format": "OTLP JSON", "spans": 3, "problems": []}],
//!   "max_avoidable_ms": 100, "exceeded": true, "dropped": {"requests": 0, "pairs": 0},
//!   "operations": [{
//!     "service": "web", "name": "GET /order", "count": 1,
//!     "wall_ms": {"p50": 6004.1, "p95": 6004.1}, "avoidable_ms": {"p50": 3000.9, "p95": 3000.9},
//!     "saved_per_day_ms": 0, "certainty": "unknown", "exceeded": true, "findings": ["GET /order: …"]
//!   }],
//!   "traces": [{
//!     "trace_id": "0af7651916cd43dd8448eb211c80319c", "service": "web", "name": "GET /order", "spans": 3,
//!     "wall_ms": 6004.1, "avoidable_ms": 3000.9, "saved_ms": 0, "complete": true, "exceeded": true,
//!     "critical_path": [{"span_id": "00f067aa0ba902b7", "service": "user", "name": "GetUser", "start_ms": 1.2,
//!                        "duration_ms": 3001.2}],
//!     "fan_outs": [{
//!       "span_id": "…", "service": "web", "name": "GET /order", "calls": ["…", "…"],
//!       "wall_ms": 6002.5, "sum_ms": 6002.4, "union_ms": 6002.4, "saved_ms": 0, "avoidable_ms": 3000.9,
//!       "sequences": [{"calls": ["…", "…"], "took_ms": 6002.5, "together_ms": 3001.6, "saves_ms": 3000.9,
//!                      "certainty": "unknown", "sentence": "2 calls one after the other took 6.00 s; …"}]
//!     }],
//!     "verdict": ["…"], "problems": []
//!   }]
//! }
//! ```
//!
//! * `inputs`: `format` is null if nothing could be read.
//! * `operations`: from the one of which joining would save most; as many as `--limit` says.
//! * `traces`: all of them, or those that `--limit` leaves: the worst one of each operation.
//! * `dropped`: the requests of operations that are not among those that are kept, and the pairs of calls of which what
//!   traces have shown does not count, because memory is bounded.
//! * `saved_per_day_ms`: 0 if less than ten requests of the operation were seen.
//! * `certainty`: whether later calls need earlier ones: `independent`, `dependent` or `unknown`.

use overlap::{FanOut, Operation, Percentiles, Segment, Sequence, text as words};
use serde::Serialize;
use trace_formats::Decoded;

use super::{
    input::Input,
    report::{Analyzed, Report},
};
use crate::terminal::duration_format::milliseconds;

#[derive(Serialize)]
struct Document<'a> {
    inputs: Vec<InputDocument<'a>>,
    max_avoidable_ms: Option<f64>,
    exceeded: bool,
    dropped: DroppedDocument,
    operations: Vec<OperationDocument<'a>>,
    traces: Vec<TraceDocument<'a>>,
}

#[derive(Serialize)]
struct InputDocument<'a> {
    file: &'a str,
    format: Option<String>,
    spans: usize,
    problems: Vec<String>,
}

#[derive(Serialize)]
struct DroppedDocument {
    requests: u64,
    pairs: u64,
}

#[derive(Serialize)]
struct OperationDocument<'a> {
    service: &'a str,
    name: &'a str,
    count: u64,
    wall_ms: PercentilesDocument,
    avoidable_ms: PercentilesDocument,
    saved_per_day_ms: f64,
    certainty: &'static str,
    exceeded: bool,
    findings: Vec<String>,
}

#[derive(Serialize)]
struct PercentilesDocument {
    p50: f64,
    p95: f64,
}

#[derive(Serialize)]
struct TraceDocument<'a> {
    trace_id: String,
    service: &'a str,
    name: &'a str,
    spans: usize,
    wall_ms: f64,
    avoidable_ms: f64,
    saved_ms: f64,
    complete: bool,
    exceeded: bool,
    critical_path: Vec<SegmentDocument<'a>>,
    fan_outs: Vec<FanOutDocument<'a>>,
    verdict: Vec<String>,
    problems: Vec<String>,
}

#[derive(Serialize)]
struct SegmentDocument<'a> {
    span_id: String,
    service: &'a str,
    name: &'a str,
    start_ms: f64,
    duration_ms: f64,
}

#[derive(Serialize)]
struct FanOutDocument<'a> {
    span_id: String,
    service: &'a str,
    name: &'a str,
    calls: Vec<String>,
    wall_ms: f64,
    sum_ms: f64,
    union_ms: f64,
    saved_ms: f64,
    avoidable_ms: f64,
    sequences: Vec<SequenceDocument>,
}

#[derive(Serialize)]
struct SequenceDocument {
    calls: Vec<String>,
    took_ms: f64,
    together_ms: f64,
    saves_ms: f64,
    certainty: &'static str,
    sentence: String,
}

/// Returns the document as text.
///
/// # Errors
///
/// Returns an error if it cannot be serialized, which is a defect.
pub(super) fn document(report: &Report<'_>) -> Result<String, serde_json::Error> {
    let traces =
        if report.shown().len() < report.operations.len() { report.worst() } else { report.traces.iter().collect() };
    let document = Document {
        inputs: report.inputs.list.iter().map(InputDocument::new).collect(),
        max_avoidable_ms: report.max_avoidable.map(milliseconds),
        exceeded: report.is_exceeded(),
        dropped: DroppedDocument { requests: report.dropped.requests, pairs: report.dropped.pairs },
        operations: report.shown().iter().map(|operation| OperationDocument::new(report, operation)).collect(),
        traces: traces.into_iter().map(|it| TraceDocument::new(report, it)).collect(),
    };
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

impl<'a> InputDocument<'a> {
    fn new(input: &'a Input) -> Self {
        let decoded = input.result.as_ref().ok();
        Self {
            file: &input.name,
            format: decoded.map(|decoded| decoded.format.to_string()),
            spans: decoded.map_or(0, Decoded::len),
            problems: input.lines(),
        }
    }
}

impl<'a> OperationDocument<'a> {
    fn new(report: &Report<'_>, operation: &'a Operation) -> Self {
        Self {
            service: &operation.service,
            name: &operation.name,
            count: operation.count,
            wall_ms: operation.wall.into(),
            avoidable_ms: operation.avoidable.into(),
            saved_per_day_ms: milliseconds(operation.saved_per_day),
            certainty: operation.certainty.as_str(),
            exceeded: report.exceeds(operation.avoidable.p95),
            findings: operation.findings.iter().map(words::finding).collect(),
        }
    }
}

impl From<Percentiles> for PercentilesDocument {
    fn from(Percentiles { p50, p95 }: Percentiles) -> Self {
        Self { p50: milliseconds(p50), p95: milliseconds(p95) }
    }
}

impl<'a> TraceDocument<'a> {
    fn new(report: &Report<'_>, it: &'a Analyzed) -> Self {
        let (root, avoidable) = (it.root(), it.analysis.avoidable());
        Self {
            trace_id: it.trace.id().to_string(),
            service: root.map_or("", |root| &root.service),
            name: root.map_or("", |root| &root.name),
            spans: it.trace.spans().len(),
            wall_ms: milliseconds(it.wall()),
            avoidable_ms: milliseconds(avoidable),
            saved_ms: milliseconds(it.analysis.saved()),
            complete: it.trace.is_complete(),
            exceeded: report.exceeds(avoidable),
            critical_path: it.analysis.critical_path().iter().map(|part| SegmentDocument::new(it, *part)).collect(),
            fan_outs: it.analysis.fan_outs().iter().map(|fan_out| FanOutDocument::new(it, fan_out)).collect(),
            verdict: words::verdict(&it.trace, &it.analysis),
            problems: it.trace.problems().iter().map(ToString::to_string).collect(),
        }
    }
}

impl<'a> SegmentDocument<'a> {
    fn new(it: &'a Analyzed, part: Segment) -> Self {
        let span = it.trace.span(part.span);
        let nanos = |nanos: u64| milliseconds(std::time::Duration::from_nanos(nanos));
        Self {
            span_id: span.span_id.to_string(),
            service: &span.service,
            name: &span.name,
            start_ms: nanos(part.start.saturating_sub(it.trace.bounds().0)),
            duration_ms: nanos(part.end.saturating_sub(part.start)),
        }
    }
}

impl<'a> FanOutDocument<'a> {
    fn new(it: &'a Analyzed, fan_out: &FanOut) -> Self {
        let span = it.trace.span(fan_out.parent);
        Self {
            span_id: span.span_id.to_string(),
            service: &span.service,
            name: &span.name,
            calls: ids(it, &fan_out.calls),
            wall_ms: milliseconds(fan_out.wall),
            sum_ms: milliseconds(fan_out.sum),
            union_ms: milliseconds(fan_out.union),
            saved_ms: milliseconds(fan_out.saved),
            avoidable_ms: milliseconds(fan_out.avoidable),
            sequences: fan_out.sequences.iter().map(|sequence| SequenceDocument::new(it, sequence)).collect(),
        }
    }
}

impl SequenceDocument {
    fn new(it: &Analyzed, sequence: &Sequence) -> Self {
        Self {
            calls: ids(it, &sequence.calls),
            took_ms: milliseconds(sequence.took),
            together_ms: milliseconds(sequence.together),
            saves_ms: milliseconds(sequence.saves),
            certainty: sequence.certainty.as_str(),
            sentence: words::sequence(&it.trace, sequence),
        }
    }
}

fn ids(it: &Analyzed, spans: &[overlap::SpanIndex]) -> Vec<String> {
    spans.iter().map(|span| it.trace.span(*span).span_id.to_string()).collect()
}
