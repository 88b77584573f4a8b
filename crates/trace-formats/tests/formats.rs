//! What programs write in each format, and how it is understood.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use opentelemetry_proto::tonic::{
    common::v1::any_value::Value,
    trace::v1::{Span, span::SpanKind, status::StatusCode},
};
use trace_formats::{DecodeError, Decoded, Format, Limits, decode, encode, to_overlap};

const TRACE: &str = "5b8efff798038103d269b633813fc60c";

fn read(input: impl AsRef<[u8]>) -> Decoded {
    let decoded = decode(input.as_ref(), &Limits::default()).unwrap();
    assert_eq!(decoded.problems, []);
    decoded
}

fn spans(decoded: &Decoded) -> Vec<&Span> {
    decoded.spans.iter().flat_map(|group| &group.scope_spans).flat_map(|scope| &scope.spans).collect()
}

fn value<'a>(span: &'a Span, key: &str) -> &'a Value {
    let attribute = span.attributes.iter().find(|attribute| attribute.key == key).unwrap();
    attribute.value.as_ref().unwrap().value.as_ref().unwrap()
}

/// The example of OpenTelemetry's specification, and the freedom that protobuf's mapping to JSON leaves.
#[test]
fn otlp_json_is_read_as_freely_as_programs_write_it() {
    let strict = format!(
        r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"my.service"}}}}]}},
        "scopeSpans":[{{"scope":{{"name":"my.library","version":"1.0.0"}},"spans":[{{
        "traceId":"{TRACE}","spanId":"eee19b7ec3c1b174","parentSpanId":"eee19b7ec3c1b173",
        "name":"I'm a server span","startTimeUnixNano":"1544712660000000000","endTimeUnixNano":"1544712661000000000","kind":2,
        "attributes":[{{"key":"n","value":{{"intValue":"7"}}}},{{"key":"d","value":{{"doubleValue":2}}}}],
        "status":{{"code":2}}}}]}}]}}]}}"#
    );
    let free = r#"{"resource_spans":[{"resource":{"attributes":[{"key":"service.name","value":{"string_value":"my.service"}}]},"unknown":[1],
        "scope_spans":[{"scope":{"name":"my.library","version":"1.0.0"},"spans":[{"unknown":{},
        "trace_id":"W47/95gDgQPSabYzgT/GDA==","span_id":"7uGbfsPBsXQ=","parent_span_id":"7uGbfsPBsXM=",
        "name":"I'm a server span","start_time_unix_nano":1544712660000000000,"end_time_unix_nano":1544712661000000000,"kind":"SPAN_KIND_SERVER",
        "attributes":[{"key":"n","value":{"int_value":7}},{"key":"d","value":{"double_value":"2"}}],"events":null,"links":null,"trace_state":null,
        "status":{"code":"STATUS_CODE_ERROR","message":null}}]}]}]}"#;
    let strict = read(strict);
    assert_eq!(strict.format, Format::OtlpJson);
    assert_eq!(read(free).spans, strict.spans);
    let [span] = spans(&strict)[..] else { panic!() };
    assert_eq!(span.kind(), SpanKind::Server);
    assert_eq!(value(span, "n"), &Value::IntValue(7));
    assert_eq!(value(span, "d"), &Value::DoubleValue(2.0));
}

#[test]
fn lines_gzip_byte_order_marks_and_other_signals_are_no_problem() {
    let span = |id: u8| {
        format!(
            r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"traceId":"{TRACE}","spanId":"00000000000000{id:02}","startTimeUnixNano":"5"}}]}}]}}]}}"#
        )
    };
    let lines = format!("\u{feff}{}\r\n{{\"resourceMetrics\":[]}}\n\n{}\n{{\"resourceLogs\":[]}}", span(1), span(2));
    let decoded = read(&lines);
    assert_eq!((decoded.format, decoded.len()), (Format::OtlpJson, 2));

    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(lines.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    assert_eq!(read(&gzip).spans, decoded.spans);
    // Several compressed files in one are one.
    assert_eq!(read([&gzip[..], &gzip[..]].concat()).len(), 4);

    let tempo = format!(r#"{{"trace":{}}}"#, span(3));
    assert_eq!(read(tempo).len(), 1);
    assert_eq!(read(format!("[{},{}]", span(1), span(2))).len(), 2, "a list of documents");
    assert_eq!(read(span(1).replace("resourceSpans", "batches")).len(), 1, "as Grafana Tempo names it");
}

#[test]
fn protobuf_is_read_with_and_without_lengths() {
    let spans = read(format!(
        r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"traceId":"{TRACE}","spanId":"0000000000000001","startTimeUnixNano":"5"}}]}}]}}]}}"#
    ))
    .spans;
    let message = encode::otlp_protobuf(spans.clone());
    let decoded = read(&message);
    assert_eq!((decoded.format, &decoded.spans), (Format::OtlpProtobuf, &spans));
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let decoded = read([&length[..], &message, &length[..], &message].concat());
    assert_eq!(
        (decoded.format, decoded.len()),
        (Format::OtlpProtobuf, 2),
        "as the collector's file exporter writes it"
    );
    assert_eq!(read([&message[..], &message].concat()).len(), 2, "messages in a row are one");
}

#[test]
fn jaeger_json_is_read_as_its_ui_and_its_older_clients_write_it() {
    let document = r#"{"data":[{"traceID":"fc60c","spans":[
        {"traceID":"fc60c","spanID":"1","operationName":"GET /","references":[],"startTime":1544712660000000,"duration":3000000,
         "tags":[{"key":"span.kind","type":"string","value":"server"},{"key":"error","type":"bool","value":true},
                 {"key":"n","type":"int64","value":"9007199254740993"},{"key":"sampler.param","type":"float64","value":1}],
         "logs":[{"timestamp":1544712660500000,"fields":[{"key":"event","type":"string","value":"retry"},{"key":"after","type":"int64","value":5}]}],
         "processID":"p1","warnings":null},
        {"traceID":"fc60c","spanID":"2","operationName":"call","references":[{"refType":"CHILD_OF","traceID":"fc60c","spanID":"1"},
         {"refType":"FOLLOWS_FROM","traceID":"abc","spanID":"9"}],"startTime":1544712661000000,"duration":1000000,
         "tags":[{"key":"otel.scope.name","type":"string","value":"lib"},{"key":"otel.status_code","type":"string","value":"OK"}],"logs":[],"processID":"p2"},
        {"traceID":"fc60c","spanID":"3","operationName":"later","references":[{"refType":"FOLLOWS_FROM","traceID":"fc60c","spanID":"2"}],
         "startTime":1544712662000000,"duration":1,"tags":null,"logs":null,"processID":"p2"}],
        "processes":{"p1":{"serviceName":"web","tags":[{"key":"host","type":"string","value":"a"}]},"p2":{"serviceName":"db","tags":[]}}}],
        "total":0,"limit":0,"offset":0,"errors":null}"#;
    let decoded = read(document);
    assert_eq!(decoded.format, Format::JaegerJson);
    let found = to_overlap(&decoded.spans);
    let span = |name: &str| found.iter().find(|span| &*span.name == name).unwrap();
    assert_eq!(span("GET /").span_id.to_string(), "0000000000000001");
    assert_eq!(span("GET /").trace_id.to_string(), format!("{:0>32}", "fc60c"));
    assert!(span("GET /").error && !span("call").error);
    assert_eq!(span("GET /").kind, overlap::SpanKind::Server);
    assert_eq!(span("GET /").end, 1_544_712_663_000_000_000);
    assert_eq!(&*span("call").service, "db");
    assert_eq!(span("call").parent.unwrap().to_string(), "0000000000000001");
    assert_eq!(span("call").links.len(), 1);
    assert_eq!(span("later").parent.unwrap().to_string(), "0000000000000002", "as in Jaeger");

    let server = spans(&decoded).into_iter().find(|span| span.name == "GET /").unwrap();
    assert_eq!(value(server, "n"), &Value::IntValue(9_007_199_254_740_993));
    assert_eq!(value(server, "sampler.param"), &Value::DoubleValue(1.0));
    assert_eq!(server.events[0].name, "retry");
    assert_eq!(server.events[0].attributes.len(), 1);

    let trace: serde_json::Value = serde_json::from_str(document).unwrap();
    assert_eq!(read(trace["data"][0].to_string()).len(), 3, "a trace by itself");
}

/// The example of Zipkin's API, where client and server share a span's id, and what OpenTelemetry's exporters write.
#[test]
fn zipkin_json_is_read_with_shared_spans() {
    let document = r#"[
      {"traceId":"5af7183fb1d4cf5f","name":"query","id":"352bff9a74ca9ad2","parentId":"6b221d5bc9e6496c","kind":"CLIENT",
       "timestamp":1556604172355737,"duration":1431,"localEndpoint":{"serviceName":"backend","ipv4":"192.168.99.1","port":3306},
       "remoteEndpoint":{"serviceName":"db","ipv4":"172.19.0.2","port":58648},"tags":{"sql.query":"SELECT 1","error":"timed out"}},
      {"traceId":"5af7183fb1d4cf5f","name":"get /api","id":"6b221d5bc9e6496c","kind":"CLIENT",
       "timestamp":1556604172350000,"duration":9000,"localEndpoint":{"serviceName":"frontend"}},
      {"traceId":"5af7183fb1d4cf5f","name":"get /api","id":"6b221d5bc9e6496c","kind":"SERVER","shared":true,
       "timestamp":1556604172351000,"duration":7000,"localEndpoint":{"serviceName":"backend"},
       "annotations":[{"timestamp":1556604172352000,"value":"start"},{"timestamp":1556604172353000,"value":"\"retry\":{\"n\":2}"}]}]"#;
    let decoded = read(document);
    assert_eq!(decoded.format, Format::ZipkinJson);
    let found = to_overlap(&decoded.spans);
    let span = |service: &str, kind| found.iter().find(|span| &*span.service == service && span.kind == kind).unwrap();
    let client = span("frontend", overlap::SpanKind::Client);
    let server = span("backend", overlap::SpanKind::Server);
    let query = span("backend", overlap::SpanKind::Client);
    assert_eq!((client.parent, server.parent, query.parent), (None, Some(client.span_id), Some(server.span_id)));
    assert_ne!(client.span_id, server.span_id);
    assert!(query.error && !server.error);
    assert_eq!(query.duration().as_micros(), 1431);
    let server = spans(&decoded).into_iter().find(|span| span.kind() == SpanKind::Server).unwrap();
    assert_eq!([&*server.events[0].name, &*server.events[1].name], ["start", "retry"]);
    let query = spans(&decoded).into_iter().find(|span| span.name == "query").unwrap();
    assert_eq!(query.status.as_ref().unwrap().code(), StatusCode::Error);
    assert_eq!(query.status.as_ref().unwrap().message, "timed out");
    assert_eq!(read(format!("[{document},{document}]")).len(), 6, "a list of traces, as the API replies");
    assert_eq!(read("[]").len(), 0);
}

/// Returns the problems of an input whose spans are read but for those that are broken.
fn problems(input: impl AsRef<[u8]>, spans: usize) -> Vec<String> {
    let decoded = decode(input.as_ref(), &Limits::default()).unwrap();
    assert_eq!(decoded.len(), spans);
    decoded.problems.iter().map(ToString::to_string).collect()
}

#[test]
fn a_broken_span_does_not_lose_the_others_and_is_named() {
    let span = |rest: &str| {
        format!("{{\"traceId\":\"{TRACE}\",\"spanId\":\"eee19b7ec3c1b174\",\"startTimeUnixNano\":\"5\"{rest}}}")
    };
    let document = format!(
        "{{\"resourceSpans\":[{{\"scopeSpans\":[{{\"spans\":[\n{},\n{},\n{},\n{},\n{}]}}]}}]}}",
        span(""),
        span(",\"kind\":9"),
        span(",\"attributes\":[{\"key\":\"a\",\"value\":{\"intValue\":\"x\"}}]"),
        "{\"spanId\":\"eee19b7ec3c1b174\",\"startTimeUnixNano\":\"5\"}",
        span(",\"parentSpanId\":\"zz\""),
    );
    assert_eq!(
        problems(document, 1),
        [
            "line 3, column 106: span eee19b7ec3c1b174: resourceSpans[0].scopeSpans[0].spans[1].kind: invalid value: \
             integer `9`, expected a kind from 0 to 5, or its name, such as `SPAN_KIND_SERVER`",
            "line 4, column 146: span eee19b7ec3c1b174: \
             resourceSpans[0].scopeSpans[0].spans[2].attributes[0].value.intValue: invalid value: string \"x\", \
             expected a whole number of 64 bits",
            "line 5, column 1: span eee19b7ec3c1b174: resourceSpans[0].scopeSpans[0].spans[3]: the trace id is none, \
             expected 16 bytes that are not all zero",
            "line 6, column 117: span eee19b7ec3c1b174: resourceSpans[0].scopeSpans[0].spans[4].parentSpanId: invalid \
             value: string \"zz\", expected an id in hexadecimal digits",
        ]
    );
}

#[test]
fn a_broken_line_does_not_lose_the_others() {
    let good = format!(
        r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"traceId":"{TRACE}","spanId":"0000000000000001","startTimeUnixNano":"5"}}]}}]}}]}}"#
    );
    let cut = &good[..good.len() - 20];
    assert_eq!(
        problems(format!("{good}\n{cut}\n{good}\n{cut}"), 2),
        [
            "line 2, column 127: control character (\\u0000-\\u001F) found while parsing a string",
            "line 4, column 127: EOF while parsing a string: the text is cut off here",
        ]
    );
    assert_eq!(problems(format!("{good}\nnonsense\n{good}"), 2), ["line 2, column 2: expected ident"]);
    assert_eq!(
        problems(format!("{good}\n{{\"a\":1}}\n"), 1),
        [
            "line 2, column 1: expected OTLP (JSON or protobuf), Jaeger JSON or Zipkin JSON, found an object with the key `a`"
        ]
    );
}

#[test]
fn broken_spans_of_the_other_formats_are_named_too() {
    let jaeger = r#"{"data":[{"traceID":"1","spans":[{"traceID":"1","spanID":"2","startTime":-5.5},{"traceID":"1","spanID":"3","startTime":5}]},{"traceID":"7"}]}"#;
    assert_eq!(
        problems(jaeger, 1),
        [
            "line 1, column 77: span 2: data[0].spans[0].startTime: invalid value: floating point `-5.5`, expected \
             microseconds, of which the nanoseconds fit into 64 bits",
            "line 1, column 125: data[1]: a trace without `spans`",
        ]
    );
    let zipkin = r#"[{"traceId":"1","id":"2","timestamp":5},{"traceId":"1","id":"3"},{"traceId":"1","id":"4","kind":"SIDE","timestamp":5}]"#;
    assert_eq!(
        problems(zipkin, 1),
        [
            "line 1, column 64: span 3: [1]: missing field `timestamp`",
            "line 1, column 102: span 4: [2].kind: unknown variant `SIDE`, expected one of `CLIENT`, `SERVER`, \
             `PRODUCER`, `CONSUMER`",
        ]
    );
    let spans = read(jaeger.replace("-5.5", "5").replace(",{\"traceID\":\"7\"}", "")).spans;
    let mut protobuf = encode::otlp_protobuf(spans);
    protobuf.truncate(protobuf.len() - 1);
    let [problem] = &problems(&protobuf, 0)[..] else { panic!() };
    assert!(problem.starts_with("byte 2: field 1 has 98 bytes, of which 97 are there"), "{problem}");
}

#[test]
fn what_is_no_trace_is_refused_with_what_is_expected() {
    let error = |input: &[u8]| decode(input, &Limits::default()).unwrap_err().to_string();
    let expected = "expected OTLP (JSON or protobuf), Jaeger JSON or Zipkin JSON";
    assert_eq!(error(b""), format!("it is empty, {expected}"));
    assert_eq!(error(b" \n"), format!("it is empty, {expected}"));
    assert_eq!(
        error(b"hello, world"),
        format!("line 1, column 1: {expected}, found what begins with \"hello, world\"")
    );
    assert_eq!(
        error(b"\n {\"a\":1,\"b\":2,\"c\":3,\"d\":4,\"e\":5}"),
        format!("line 2, column 2: {expected}, found an object with the keys `a`, `b`, `c`, `d`, …")
    );
    assert_eq!(error(b"{}"), format!("line 1, column 1: {expected}, found an empty object"));
    assert_eq!(error(b"{\"a\""), "line 1, column 4: EOF while parsing an object: the text is cut off here");
    assert!(error(&[0x1f, 0x8b, 1, 2]).starts_with("it is compressed with gzip, and cannot be decompressed: "));
}

#[test]
fn limits_hold() {
    let span = |id: usize| format!(r#"{{"traceId":"1","id":"{id}","timestamp":5,"tags":{{"a":"1","b":"2"}}}}"#);
    let document = format!("[{}]", (1..=9).map(span).collect::<Vec<_>>().join(","));
    let read =
        |limits: Limits| decode(document.as_bytes(), &limits).map(|it| (it.len(), it.problems.len(), it.more_problems));
    let limits = Limits::default();
    assert_eq!(read(limits).unwrap(), (9, 0, 0));
    assert_eq!(read(Limits { spans: 4, ..limits }).unwrap(), (4, 1, 0));
    assert_eq!(read(Limits { items: 5, ..limits }).unwrap(), (2, 1, 0));
    let told = |limits: Limits| decode(document.as_bytes(), &limits).unwrap().problems[0].to_string();
    let left_out = "this span and all after it are left out: at most";
    assert!(told(Limits { spans: 4, ..limits }).ends_with(&format!("{left_out} 4 spans are read")));
    let items = told(Limits { items: 5, ..limits });
    assert!(items.ends_with(&format!("{left_out} 5 attributes, events and links are read")), "{items}");
    assert_eq!(read(Limits { span_bytes: 10, problems: 3, ..limits }).unwrap(), (0, 3, 6));
    assert!(matches!(read(Limits { bytes: 10, ..limits }), Err(DecodeError::TooLarge { limit: 10 })));
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&vec![b' '; 1 << 20]).unwrap();
    let gzip = gzip.finish().unwrap();
    assert!(gzip.len() < 10_000);
    let bomb = decode(&gzip, &Limits { bytes: 10_000, ..limits });
    assert!(matches!(bomb, Err(DecodeError::TooLarge { limit: 10_000 })), "{bomb:?}");
}

#[test]
fn depth_and_repetition_do_no_harm() {
    let deep = |open: &str, close: &str, depth: usize| {
        let value = open.repeat(depth) + "{\"intValue\":1}" + &close.repeat(depth);
        format!(
            r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"traceId":"{TRACE}","spanId":"0000000000000001","startTimeUnixNano":"5","attributes":[{{"key":"a","value":{value}}}]}}]}}]}}]}}"#
        )
    };
    let (open, close) = ("{\"arrayValue\":{\"values\":[", "]}}");
    assert_eq!(read(deep(open, close, 30)).len(), 1);
    let [problem] = &problems(deep(open, close, 100_000), 0)[..] else { panic!() };
    assert!(problem.contains("recursion limit exceeded") && problem.contains("span 0000000000000001"), "{problem}");
    // Deep in what nobody reads.
    assert!(decode("[".repeat(1_000_000).as_bytes(), &Limits::default()).is_err());
    // Each line could be the beginning of a document that goes on to the end of the text.
    let lines = "{\"resourceSpans\":[\n".repeat(200_000);
    let decoded = decode(lines.as_bytes(), &Limits::default()).unwrap();
    assert!(decoded.is_empty() && decoded.problems.len() <= 100);
}
