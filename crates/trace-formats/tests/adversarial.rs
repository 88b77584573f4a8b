//! Inputs that are made to take long, or much memory.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use trace_formats::{Decoded, Limits, decode, encode};

/// Returns how long reading computes, the faster of two runs.
fn measure(input: &str) -> Duration {
    let computed = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
    };
    let run = || {
        let start = computed();
        let decoded = read(input, &Limits::default());
        assert!(decoded.problems.len() == 100 && decoded.more_problems > 1000);
        computed().saturating_sub(start)
    };
    (0..2).map(|_| run()).min().unwrap_or_default()
}

fn read(input: &str, limits: &Limits) -> Decoded {
    decode(input.as_bytes(), limits).unwrap()
}

/// Ten times as many parts take at most 40 times as long: not 100 times, as they would if each looked at all before it.
#[track_caller]
fn grows_with_its_size(input: impl Fn(usize) -> String) {
    let (few, many) = (measure(&input(2_000)), measure(&input(20_000)));
    assert!(many < few * 40, "{few:?} for a tenth, {many:?} for all");
}

#[test]
fn faults_in_any_order() {
    // The list is read after what is behind it.
    let otlp = r#"{"scopeSpans":[0],"resource":0}"#;
    grows_with_its_size(|count| format!(r#"{{"resourceSpans":[{}]}}"#, vec![otlp; count].join(",")));
    let jaeger = r#"{"spans":[0],"processes":{"a":0}}"#;
    grows_with_its_size(|count| format!(r#"{{"data":[{}]}}"#, vec![jaeger; count].join(",")));
}

#[test]
fn faults_are_told_in_the_order_in_which_they_are_found() {
    let input = "{\"resourceSpans\":[{\"scopeSpans\":[0],\n\"resource\":0},\n1]}";
    let places: Vec<_> = read(input, &Limits::default()).problems.iter().map(|it| it.position.to_string()).collect();
    assert_eq!(places, ["line 2, column 12", "line 1, column 34", "line 3, column 1"]);
}

/// Returns how many groups are kept of ten, whose attributes are above the limit of all, and what is said of the rest.
fn within_items(input: &[u8]) -> (usize, String) {
    let decoded = decode(input, &Limits { items: 100, ..Limits::default() }).unwrap();
    let [problem] = &decoded.problems[..] else { panic!("{:?}", decoded.problems) };
    assert_eq!(decoded.more_problems, 0);
    (decoded.spans.len(), problem.to_string())
}

#[test]
fn attributes_of_resources_and_scopes_are_bounded() {
    let span = r#"{"traceId":"0000000000000000000000000000000a","spanId":"000000000000000b","startTimeUnixNano":"5"}"#;
    let attributes = format!("[{}]", vec![r#"{"key":"a"}"#; 30].join(","));
    let resource = format!(r#"{{"resource":{{"attributes":{attributes}}},"scopeSpans":[{{"spans":[{span}]}}]}}"#);
    let scope = format!(r#"{{"scopeSpans":[{{"scope":{{"attributes":{attributes}}},"spans":[{span}]}}]}}"#);
    let list = r#"{"key":"a","value":{"arrayValue":{"values":[{},{"kvlistValue":{"values":[{"key":"b"}]}}]}}}"#;
    let values = span.replace('}', &format!(r#","attributes":[{}]}}"#, [list; 8].join(",")));
    let values = format!(r#"{{"scopeSpans":[{{"spans":[{values}]}}]}}"#);
    for (group, what) in [(resource, "resource"), (scope, "scope"), (values, "span")] {
        let json = format!(r#"{{"resourceSpans":[{}]}}"#, vec![group; 10].join(","));
        let protobuf = encode::otlp_protobuf(read(&json, &Limits::default()).spans);
        for input in [json.as_bytes(), &protobuf] {
            let (kept, problem) = within_items(input);
            let left_out =
                format!("this {what} and all after it are left out: at most 100 attributes, events and links are read");
            assert!(kept == 3 && problem.ends_with(&left_out), "{kept}: {problem}");
        }
    }
    let tags = format!("[{}]", vec![r#"{"key":"a","value":"b"}"#; 30].join(","));
    let process = format!(r#"{{"serviceName":"","tags":{tags}}}"#);
    let span = |rest: String| format!(r#"{{"traceID":"a","spanID":"b","startTime":5,{rest}}}"#);
    let by_id = format!(r#"{{"spans":[{}],"processes":{{"p":{process}}}}}"#, span(r#""processID":"p""#.to_owned()));
    let own = format!(r#"{{"spans":[{}]}}"#, span(format!(r#""process":{process}"#)));
    for trace in [by_id, own] {
        let (kept, problem) = within_items(format!(r#"{{"data":[{}]}}"#, vec![trace; 10].join(",")).as_bytes());
        assert!(kept == 3 && problem.contains("this process and all after it are left out"), "{kept}: {problem}");
    }
}

/// Returns the attributes, as many as this.
fn attributes(count: usize) -> String {
    format!("[{}]", vec![r#"{"key":"a"}"#; count].join(","))
}

#[test]
fn a_resource_or_scope_that_is_too_much_is_named_where_it_is() {
    let span = r#"{"traceId":"0000000000000000000000000000000a","spanId":"000000000000000b","startTimeUnixNano":"5"}"#;
    let told = |input: &str, limits: Limits| {
        let decoded = read(input, &limits);
        (decoded.len(), decoded.problems.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    let limits = Limits::default();
    // Behind the spans: they go too.
    let resource = format!(
        "{{\"resourceSpans\":[{{\"scopeSpans\":[{{\"spans\":[{span}]}}],\n \"resource\":{{\"attributes\":{}}}}}]}}",
        attributes(30)
    );
    let left_out = "and all after it are left out: at most 20 attributes, events and links are read";
    assert_eq!(
        told(&resource, Limits { items: 20, ..limits }),
        (0, vec![format!("line 2, column 13: resourceSpans[0].resource: this resource {left_out}")])
    );
    let scope = format!(
        "{{\"resourceSpans\":[{{\"scopeSpans\":[{{\"spans\":[{span}]}},{{\"spans\":[{span}],\n \"scope\":{{\"attributes\":{}}}}}]}}]}}",
        attributes(30)
    );
    assert_eq!(
        told(&scope, Limits { items: 20, ..limits }),
        (1, vec![format!("line 2, column 10: resourceSpans[0].scopeSpans[1].scope: this scope {left_out}")])
    );
    // Their spans count, as with one that cannot be read.
    let large = "of 376 bytes, at most 200 are allowed";
    assert_eq!(
        told(&resource, Limits { span_bytes: 200, ..limits }),
        (1, vec![format!("line 2, column 13: resourceSpans[0].resource: a resource {large}")])
    );
    assert_eq!(
        told(&scope, Limits { span_bytes: 200, ..limits }),
        (2, vec![format!("line 2, column 10: resourceSpans[0].scopeSpans[1].scope: a scope {large}")])
    );
}

/// Returns a field of a protobuf message with this content.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let (low, high) = (content.len() & 0x7f | 0x80, content.len() >> 7);
    [&[number << 3 | 2, u8::try_from(low).unwrap(), u8::try_from(high).unwrap()], content].concat()
}

/// In protobuf the fields of a message come in any order.
#[test]
fn a_resource_or_scope_that_is_too_much_takes_its_spans_along_in_any_order() {
    let spans = field(2, &[field(1, &[1; 16]), field(2, &[1; 8]), vec![0x39, 5, 0, 0, 0, 0, 0, 0, 0]].concat());
    let attributes = |number| field(number, &field(1, b"a")).repeat(30);
    let (resource, scope) = (field(1, &attributes(1)), field(1, &attributes(3)));
    let read = |content: &[Vec<u8>], items, span_bytes| {
        let message = field(1, &content.concat());
        let decoded = decode(&message, &Limits { items, span_bytes, ..Limits::default() }).unwrap();
        (decoded.len(), decoded.problems.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    let with_resource = [field(2, &spans), resource];
    let with_scope = [field(2, &[&*spans, &*scope].concat())];
    for (content, what, place) in [
        (&with_resource[..], "resource", "byte 48: resource_spans[0]"),
        (&with_scope, "scope", "byte 48: resource_spans[0].scope_spans[0]"),
    ] {
        assert_eq!(read(content, 30, 1000), (1, vec![]));
        let left_out = "and all after it are left out: at most 20 attributes, events and links are read";
        assert_eq!(read(content, 20, 1000), (0, vec![format!("{place}: this {what} {left_out}")]));
        // As with one that cannot be read.
        let size = "of 213 bytes, at most 100 are allowed";
        assert_eq!(read(content, 30, 100), (1, vec![format!("{place}: a {what} {size}")]));
    }
}
