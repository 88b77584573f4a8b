//! The analysis of traces: figures that fit together, whatever the spans are.

use overlap::{Analysis, Evidence, Operations, Span, SpanId, SpanKind, Trace, TraceId, Value, split, text as words};

use crate::text::assert_error;

/// Takes six bytes for each span: its trace and id, its parent, its kind and name, its start, its duration, and how it is
/// related to others.
pub fn run(input: &[u8]) {
    let spans = input.as_chunks::<6>().0.iter().take(300).map(|bytes| span(*bytes)).collect();
    let traces = split(spans);
    let mut operations = Operations::default();
    for trace in &traces {
        check_trace(trace);
        let analysis = Analysis::of(trace, operations.evidence());
        operations.add(trace, &analysis);
    }
    for operation in operations.ranked() {
        assert_error(&words::operation(&operation));
        for finding in &operation.findings {
            assert_error(&words::finding(finding));
        }
    }
}

fn span([id, parent, kind, start, duration, related]: [u8; 6]) -> Span {
    let kinds = [SpanKind::Internal, SpanKind::Server, SpanKind::Client, SpanKind::Producer, SpanKind::Consumer];
    let trace_id = TraceId([1 + id / 128; 16]);
    let start = 1_000_000 + u64::from(start) * 1_000_000;
    let id_of = |number: u8| SpanId([number; 8]);
    let link = overlap::Link { trace_id, span_id: id_of(related % 128) };
    let attribute = match related {
        0..64 => ("db.query.text", Value::from("SELECT 1")),
        64..128 => ("fanout.chain", Value::Int((related % 4).into())),
        _ => ("http.request.method", Value::from("GET")),
    };
    Span {
        trace_id,
        span_id: id_of(id % 128),
        parent: (parent > 0).then(|| id_of(parent % 128)),
        kind: kinds[usize::from(kind) % kinds.len()],
        service: ["a", "b", "c"][usize::from(kind) % 3].into(),
        name: ["x", "y"][usize::from(kind) % 2].into(),
        start,
        end: (start + u64::from(duration) * 500_000).saturating_sub(5_000_000),
        error: kind > 200,
        attributes: vec![(attribute.0.into(), attribute.1)],
        links: if related > 200 { vec![link] } else { Vec::new() },
    }
}

/// Asserts that the figures of a trace fit together.
pub(crate) fn check_trace(trace: &Trace) {
    let analysis = Analysis::of(trace, &Evidence::default());
    let Some(root) = trace.root() else { return };
    let wall = trace.span(root).duration();
    assert!(analysis.avoidable() <= wall, "{:?} of {wall:?}", analysis.avoidable());
    for fan_out in analysis.fan_outs() {
        assert_eq!(fan_out.saved + fan_out.union, fan_out.sum);
        assert!(fan_out.union <= fan_out.wall && fan_out.avoidable <= fan_out.union);
        assert_eq!(fan_out.calls.len(), fan_out.times.len());
        for sequence in &fan_out.sequences {
            assert!(sequence.calls.len() > 1 && sequence.saves <= fan_out.avoidable);
            assert!(!words::sequence(trace, sequence).is_empty());
        }
    }
    let path = analysis.critical_path();
    assert!(path.windows(2).all(|pair| pair[0].end == pair[1].start), "without gaps");
    if let (Some(first), Some(last)) = (path.first(), path.last()) {
        assert_eq!((first.start, last.end), (trace.span(root).start, trace.span(root).end));
    }
    assert!(!words::verdict(trace, &analysis).is_empty());
}
