//! The analysis of traces: figures that fit together, whatever the spans are.

use overlap::{
    Analysis, Evidence, Operations, Reason, Span, SpanId, SpanKind, Text, Trace, TraceId, Value, split, text as words,
};

use crate::text::assert_error;

/// Takes eight bytes for each span: its trace and id, its parent, its kind and name, its start, its duration, the span that it
/// is linked to, an attribute and its value.
pub fn run(input: &[u8]) {
    let traces = traces(input);
    let mut operations = Operations::default();
    // So few that most of what is seen is forgotten.
    let (mut one, mut other) =
        (Operations::with_limits(2, Evidence::with_limit(3)), Operations::with_limits(2, Evidence::with_limit(3)));
    for (number, trace) in traces.iter().enumerate() {
        check_trace(trace);
        let analysis = Analysis::of(trace, operations.evidence());
        check_reasons(trace, &analysis);
        operations.add(trace, &analysis);
        if number % 2 == 0 { &mut one } else { &mut other }.add(trace, &analysis);
    }
    one.merge(&other);
    let requests = |operations: &Operations| operations.ranked().iter().map(|operation| operation.count).sum::<u64>();
    assert_eq!(one.dropped() + requests(&one), requests(&operations), "each is kept or counted, once");
    assert!(one.ranked().len() <= 2 && one.evidence().pairs() <= 3);
    for operation in operations.ranked() {
        assert_error(&words::operation(&operation));
        for finding in &operation.findings {
            assert_error(&words::finding(finding));
        }
    }
}

fn traces(input: &[u8]) -> Vec<Trace> {
    split(input.as_chunks::<8>().0.iter().take(300).map(|bytes| span(*bytes)).collect())
}

fn span([id, parent, kind, start, duration, link, what, value]: [u8; 8]) -> Span {
    let kinds = [
        SpanKind::Internal,
        SpanKind::Server,
        SpanKind::Client,
        SpanKind::Producer,
        SpanKind::Consumer,
        SpanKind::Unspecified,
    ];
    let trace_id = TraceId([1 + id / 64; 16]);
    let start = 1_000_000 + u64::from(start) * 1_000_000;
    let id_of = |number: u8| SpanId([number; 8]);
    let links = if link > 127 { vec![overlap::Link { trace_id, span_id: id_of(link % 64) }] } else { Vec::new() };
    Span {
        trace_id,
        span_id: id_of(id % 64),
        parent: (parent > 0).then(|| id_of(parent % 64)),
        kind: kinds[usize::from(kind) % kinds.len()],
        service: ["a", "b", "c"][usize::from(kind) / 6 % 3].into(),
        name: ["x", "y", "z"][usize::from(kind) / 18 % 3].into(),
        start,
        end: (start + u64::from(duration) * 500_000).saturating_sub(5_000_000),
        error: kind > 200,
        attributes: attributes(what, value),
        links,
    }
}

/// Returns what the analysis looks for: statements and requests that differ in their values or not at all, with and without
/// parameters, the steps of chains, and attempts.
fn attributes(what: u8, value: u8) -> Vec<(Text, Value)> {
    let number = Value::Int(i64::from(value % 5));
    let text = |text: String| Value::from(text.as_str());
    let get = ("http.request.method", Value::from("GET"));
    let chains = ["x > y", "x > y; x > z", "x > z; y > z", "x > x > x; y > y", "z > y > x; ; >", "x>y;z", " > x; y > "];
    // What a driver or a person may write.
    let odd = ["'", "?", "%s", "$1", "\u{e9}'", ";", "{id}", "://", "#", "v1", "api", "://?", "\u{1f600}"];
    let odd = odd[usize::from(value) % odd.len()];
    let attributes = match what % 20 {
        0 => vec![("db.query.text", text(format!("SELECT * FROM items WHERE id = {value}")))],
        1 => vec![("db.query.text", "SELECT * FROM items".into())],
        2 => vec![("db.statement", text(format!("INSERT INTO items VALUES ('{value}')")))],
        3 => vec![("db.query.text", "SELECT name FROM items".into()), ("db.query.parameter.0", number)],
        4 => vec![("db.query.text", text(format!("SELECT {odd} FROM items")))],
        5 => vec![("db.statement", text(odd.to_owned())), ("db.system", "sqlite".into())],
        6 => vec![get, ("url.full", text(format!("http://host/items?id={value}")))],
        7 => vec![get, ("url.full", "http://host/items".into())],
        8 => vec![get, ("url.template", "/items".into()), ("url.query", text(format!("id={value}")))],
        9 => vec![get, ("http.route", "/items/{id}".into()), ("http.target", text(format!("/items/{value}")))],
        10 => vec![get, ("url.path", text(format!("/{odd}/items{odd}")))],
        11 => vec![("http.method", "POST".into()), ("http.url", text(format!("http://host/items/{value}")))],
        12 => vec![("fanout.chain", number)],
        13 => vec![("fanout.chains", chains[usize::from(value) % chains.len()].into())],
        14 => vec![("fanout.attempt", number)],
        15 => vec![("http.request.resend_count", text((value % 5).to_string()))],
        16 => vec![("rpc.system", "grpc".into()), ("rpc.method", text(format!("Get{}", value % 3)))],
        17 => vec![("db.query.text", Value::Bool(true)), ("fanout.chain", Value::Double(f64::NAN))],
        18 => vec![("messaging.system", "kafka".into()), ("server.address", text(odd.to_owned()))],
        _ => vec![],
    };
    attributes.into_iter().map(|(key, value)| (key.into(), value)).collect()
}

/// Asserts that nothing is said to be shown by what does not show it.
fn check_reasons(trace: &Trace, analysis: &Analysis) {
    for sequence in analysis.fan_outs().iter().flat_map(|fan_out| &fan_out.sequences) {
        let later = || sequence.calls[1..].iter().map(|call| trace.span(*call));
        let has = |span: &Span, key: &str| span.attributes.iter().any(|(known, _)| &**known == key);
        let contains = |span: &Span, part: &str| {
            let texts = span.attributes.iter().filter_map(|(_, value)| value.as_text());
            texts.into_iter().any(|text| text.contains(part))
        };
        match sequence.because {
            Reason::WithoutParameters => {
                let reads = |span: &Span| {
                    !["url.query", "db.query.parameter.0"].iter().any(|key| has(span, key))
                        && !["?", "WHERE", "INSERT"].iter().any(|part| contains(span, part))
                };
                assert!(later().any(reads), "{sequence:#?}");
            }
            Reason::Link => assert!(trace.spans().iter().any(|span| !span.links.is_empty())),
            Reason::Chain => {
                let is_told = |span: &Span| has(span, "fanout.chain") || has(span, "fanout.chains");
                assert!(trace.spans().iter().any(is_told));
            }
            Reason::Overlapped { traces } | Reason::AwaitedInTurn { traces } => assert!(traces > 0),
            Reason::Nothing => {}
        }
        if let Some(repeated) = sequence.repeated {
            assert!(repeated.times > 2 && repeated.times <= sequence.calls.len(), "{sequence:#?}");
            assert!(sequence.calls.contains(&repeated.call));
        }
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

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs};

    use super::*;

    #[test]
    fn the_corpus_has_everything_that_the_analysis_looks_for() {
        let mut reached = BTreeSet::new();
        for entry in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/corpus/overlap")).unwrap() {
            let mut evidence = Evidence::default();
            for trace in traces(&fs::read(entry.unwrap().path()).unwrap()) {
                let analysis = Analysis::of(&trace, &evidence);
                for sequence in analysis.fan_outs().iter().flat_map(|fan_out| &fan_out.sequences) {
                    let because = format!("{:?}", sequence.because);
                    reached.insert(because.split(' ').next().unwrap_or_default().to_owned());
                    reached.extend(sequence.repeated.map(|_| "repeated".to_owned()));
                }
                evidence.merge(analysis.evidence());
            }
        }
        let all = ["AwaitedInTurn", "Chain", "Link", "Nothing", "Overlapped", "WithoutParameters", "repeated"];
        assert_eq!(reached, all.map(str::to_owned).into());
    }
}
