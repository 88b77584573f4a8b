//! What holds for traces in any format: what was read can be written, read again, and analysed.

use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use trace_formats::{Decoded, Limits, decode, encode, to_overlap};

use crate::{overlap::check_trace, text::assert_error};

/// Less than a command reads, so that the limits are reached.
const LIMITS: Limits = Limits { bytes: 1 << 16, span_bytes: 1 << 12, spans: 50, items: 200, problems: 5 };
/// What was read within those limits may take more as another format: Jaeger's has a resource in each of its traces.
const WIDE: Limits = Limits { bytes: 1 << 26, span_bytes: 1 << 24, spans: 50, items: 200 * 51, problems: 5 };

/// Reads the input as it is, and checks what came of it.
pub(crate) fn check(input: &[u8]) {
    let decoded = match decode(input, &LIMITS) {
        Ok(decoded) => decoded,
        Err(error) => return assert_error(&error),
    };
    assert!(decoded.len() <= LIMITS.spans && decoded.problems.len() <= LIMITS.problems);
    for problem in &decoded.problems {
        assert_error(problem);
    }
    for span in spans(&decoded.spans) {
        assert!(span.trace_id.len() == 16 && span.span_id.len() == 8 && span.start_time_unix_nano > 0);
    }
    let json = encode::otlp_json(&decoded.spans);
    if decoded.is_empty() {
        return;
    }
    // As text, because NaN is not equal to itself.
    assert_eq!(encode::otlp_json(&read(json.as_bytes()).spans), json);
    assert_eq!(encode::otlp_json(&read(&encode::otlp_protobuf(decoded.spans.clone())).spans), json);
    check_jaeger(&decoded.spans);

    let converted = to_overlap(&decoded.spans);
    assert_eq!(converted.len(), decoded.len());
    for trace in &overlap::split(converted) {
        check_trace(trace);
    }
}

/// Jaeger's format keeps the spans whose start it can hold.
fn check_jaeger(before: &[ResourceSpans]) {
    let ids = |groups: &[ResourceSpans]| {
        let kept = spans(groups).filter(|span| span.start_time_unix_nano >= 1000);
        let mut ids: Vec<_> = kept.map(|span| (span.trace_id.clone(), span.span_id.clone())).collect();
        ids.sort();
        ids
    };
    let document = encode::jaeger_json(before);
    let after = decode(document.as_bytes(), &WIDE).unwrap();
    assert_eq!(ids(&after.spans), ids(before), "{document}");
}

fn read(bytes: &[u8]) -> Decoded {
    let decoded = decode(bytes, &WIDE).unwrap();
    assert_eq!(decoded.problems, [], "what was written is read again");
    decoded
}

fn spans(groups: &[ResourceSpans]) -> impl Iterator<Item = &Span> {
    groups.iter().flat_map(|group| &group.scope_spans).flat_map(|scope| &scope.spans)
}
