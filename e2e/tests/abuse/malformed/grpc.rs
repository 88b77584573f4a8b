//! Requests in correct HTTP/2 that are no gRPC, or not what the method takes.

use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use tokio::{net::TcpStream, time::timeout};
use tonic::Code;

use crate::{
    frames::framed,
    target::{Target, against_each},
    victim::{Victim, Warned},
};

/// How long a service may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// A request, and the HTTP status and the code of its reply.
struct Case {
    what: &'static str,
    method: &'static str,
    path: String,
    headers: Vec<(&'static str, Vec<u8>)>,
    body: Vec<u8>,
    trailers: bool,
    status: u16,
    /// `None` if the reply has none.
    code: Option<Code>,
}

/// Returns what a correct call has, whose reply is to have this code.
fn call(target: Target, what: &'static str, code: Code) -> Case {
    Case {
        what,
        method: "POST",
        path: target.path().to_owned(),
        headers: vec![("content-type", b"application/grpc".to_vec()), ("te", b"trailers".to_vec())],
        body: framed(target.message()),
        trailers: false,
        status: 200,
        code: Some(code),
    }
}

// === impl Case ===

impl Case {
    fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(header, _)| *header != name);
        self
    }

    fn with(self, name: &'static str, value: impl AsRef<[u8]>) -> Self {
        self.without(name).and(name, value)
    }

    fn and(mut self, name: &'static str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name, value.as_ref().to_vec()));
        self
    }

    /// Sends the request. Returns the HTTP status and the code of its reply.
    async fn send(&self, client: &mut SendRequest<Bytes>, url: &str) -> (u16, Option<Code>) {
        let mut request = Request::builder().method(Method::from_bytes(self.method.as_bytes()).unwrap());
        for (name, value) in &self.headers {
            request = request.header(HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap());
        }
        let request = request.uri(format!("{url}{}", self.path)).body(()).unwrap();
        let is_empty = self.body.is_empty() && !self.trailers;
        let (reply, mut body) = client.send_request(request, is_empty).unwrap();
        // A service may answer before it has read everything.
        if !self.body.is_empty() {
            let _ = body.send_data(Bytes::copy_from_slice(&self.body), !self.trailers);
        }
        if self.trailers {
            let _ = body.send_trailers(HeaderMap::from_iter([("x-trailer".parse().unwrap(), "1".parse().unwrap())]));
        }
        let reply = reply.await.unwrap_or_else(|error| panic!("{}: {error}", self.what));
        let (status, code) = (reply.status().as_u16(), code(reply.headers()));
        if code.is_some() {
            return (status, code);
        }
        let mut body = reply.into_body();
        while let Some(Ok(data)) = body.data().await {
            let _ = body.flow_control().release_capacity(data.len());
        }
        (status, body.trailers().await.ok().flatten().as_ref().and_then(self::code))
    }
}

fn code(headers: &HeaderMap) -> Option<Code> {
    headers.get("grpc-status").map(|code| Code::from_bytes(code.as_bytes()))
}

fn methods(target: Target) -> Vec<Case> {
    let methods = ["GET", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH", "TRACE", "FETCH", "post"];
    let wrong = |method| Case { method, status: 405, ..call(target, method, Code::InvalidArgument) };
    methods.map(wrong).into()
}

fn content_types(target: Target) -> Vec<Case> {
    let wrong = |kind: &'static str| {
        Case { status: 415, ..call(target, "content type", Code::InvalidArgument) }.with("content-type", kind)
    };
    let right = |kind: &'static str| call(target, "content type", Code::Ok).with("content-type", kind);
    let missing = Case { status: 415, ..call(target, "no content type", Code::InvalidArgument) };
    let mut cases = vec![missing.without("content-type")];
    cases.extend(
        [
            "",
            "application/json",
            "application/grpc-web",
            "application/grpc-web+proto",
            "application/grpc+json",
            "application/grpcx",
            "application/x-protobuf",
            "application/ grpc",
            "text/plain",
        ]
        .map(wrong),
    );
    cases.extend(["application/grpc+proto", "Application/GRPC", "application/grpc; charset=utf-8"].map(right));
    cases
}

fn paths(target: Target) -> Vec<Case> {
    let (service, method) = target.path().rsplit_once('/').unwrap();
    let wrong = |what, path| Case { path, ..call(target, what, Code::Unimplemented) };
    vec![
        wrong("no path", "/".to_owned()),
        wrong("no service", format!("/{method}")),
        wrong("no method", service.to_owned()),
        wrong("an empty method", format!("{service}/")),
        wrong("an unknown service", "/made.up.Service/Get".to_owned()),
        wrong("an unknown method", format!("{service}/Delete")),
        wrong("a slash at the end", format!("{service}/{method}/")),
        wrong("two slashes", format!("{service}//{method}")),
        wrong("a method in lower case", target.path().to_lowercase()),
        wrong("an encoded method", format!("{service}/%47{}", &method[1..])),
        wrong("a directory above", format!("{service}/../{method}")),
        wrong("a path of 8 KB", format!("{service}/{}", "a".repeat(8_000))),
        wrong("a path with control characters", format!("{service}/\u{9b}\u{202e}")),
        Case { path: format!("{}?user=root", target.path()), ..call(target, "a query", Code::Ok) },
    ]
}

fn framing(target: Target) -> Vec<Case> {
    let right = framed(target.message());
    let wrong = |what, body| Case { body, ..call(target, what, Code::InvalidArgument) };
    let flagged = |flag: u8| [&[flag], &right[1..]].concat();
    let prefix = |length: u32| [&[0][..], &length.to_be_bytes(), b"hello"].concat();
    vec![
        wrong("no message", Vec::new()),
        wrong("a byte of a prefix", vec![0]),
        wrong("most of a prefix", vec![0; 4]),
        wrong("a prefix without its message", right[..5].to_vec()),
        wrong("a part of a message", right[..right.len() - 1].to_vec()),
        wrong("a byte after the message", [&right[..], &[0]].concat()),
        wrong("two messages", right.repeat(2)),
        wrong("a thousand messages", right.repeat(1_000)),
        wrong("an empty message after it", [&right[..], &[0; 5]].concat()),
        wrong("compressed without an encoding", flagged(1)),
        wrong("an unknown flag", flagged(2)),
        wrong("all flags", flagged(255)),
        wrong("4 MiB that do not come", prefix(4 << 20)),
        Case { code: Some(Code::OutOfRange), ..wrong("more than 4 MiB", prefix((4 << 20) + 1)) },
        Case { code: Some(Code::OutOfRange), ..wrong("4 GiB", prefix(u32::MAX)) },
        wrong("HTTP/1.1 in the body", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        wrong("JSON in the body", b"{\"userId\":\"ada\"}".to_vec()),
        Case { trailers: true, ..wrong("trailers without a message", Vec::new()) },
        Case { trailers: true, ..call(target, "trailers", Code::Ok) },
    ]
}

fn encodings(target: Target) -> Vec<Case> {
    let compressed = [&[1], &framed(target.message())[1..]].concat();
    let encoded = |what, encoding: &'static str, code| call(target, what, code).with("grpc-encoding", encoding);
    vec![
        encoded("identity", "identity", Code::Ok),
        encoded("gzip", "gzip", Code::Unimplemented),
        encoded("an unknown encoding", "snappy", Code::Unimplemented),
        Case { body: compressed.clone(), ..encoded("compressed with gzip", "gzip", Code::Unimplemented) },
        Case { body: compressed, ..encoded("compressed with identity", "identity", Code::InvalidArgument) },
        call(target, "an unknown encoding is accepted", Code::Ok).with("grpc-accept-encoding", "snappy,\x09,"),
    ]
}

fn timeouts(target: Target) -> Vec<Case> {
    let timeout = |value: &'static [u8], code| call(target, "grpc-timeout", code).with("grpc-timeout", value);
    let mut cases: Vec<_> = [
        &b""[..],
        b"1",
        b"S",
        b"-1S",
        b"+1S",
        b"1.5S",
        b"1e3S",
        b"0x1S",
        b"123456789S",
        b"1X",
        b"1s",
        b"1 S",
        b"1SS",
        b"\xd9\xa1S",
        b"NaNS",
    ]
    .map(|value| timeout(value, Code::InvalidArgument))
    .into();
    cases.extend([timeout(b"99999999H", Code::Ok), timeout(b"30S", Code::Ok)]);
    cases.extend([timeout(b"0S", Code::DeadlineExceeded), timeout(b"1n", Code::DeadlineExceeded)]);
    cases
}

fn protobuf(target: Target) -> Vec<Case> {
    let message = |what, code, message: &[u8]| Case { body: framed(message), ..call(target, what, code) };
    let wrong = |what, bytes: &[u8]| message(what, Code::InvalidArgument, bytes);
    let right = |what, more: &[u8]| message(what, Code::Ok, &[target.message(), more].concat());
    // Field 15 as a group in a group, and so on.
    let nested = |depth| [vec![0x7b; depth], vec![0x7c; depth]].concat();
    vec![
        wrong("an empty message", b""),
        wrong("no protobuf", b"\xff\xff"),
        wrong("a text that is not UTF-8", b"\x0a\x01\xff"),
        wrong("an overlong encoding of UTF-8", b"\x0a\x02\xc0\x80"),
        wrong("a surrogate", b"\x0a\x03\xed\xa0\x80"),
        wrong("a number in place of a text", b"\x08\x01"),
        wrong("a text that is longer than its message", b"\x0a\x7fa"),
        wrong("a length of 2^63", b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f"),
        wrong("a number that does not end", b"\x78\xff\xff\xff"),
        wrong("a number of eleven bytes", b"\x78\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        wrong("field 0", b"\x02\x00"),
        wrong("wire type 6", b"\x7e"),
        wrong("wire type 7", b"\x7f"),
        wrong("the end of a group alone", b"\x7c"),
        wrong("a group without an end", b"\x7b"),
        wrong("the end of another group", b"\x7b\x74"),
        wrong("10,000 groups in each other", &nested(10_000)),
        wrong("a megabyte of zeros", &vec![0; 1 << 20]),
        right("an unknown number", b"\x78\x01"),
        right("an unknown text", b"\x7a\x02hi"),
        right("unknown fixed numbers", b"\x79\0\0\0\0\0\0\0\0\x7d\0\0\0\0"),
        right("an unknown group", b"\x7b\x7c"),
        right("20 groups in each other", &nested(20)),
        right("the largest field", b"\xf8\xff\xff\xff\x0f\x01"),
        right("a field again", target.message()),
        right("an unknown field of 100 KB", &[&b"\x7a\xa0\x8d\x06"[..], &vec![b'x'; 100_000]].concat()),
    ]
}

fn context(target: Target) -> Vec<Case> {
    let served = |name: &'static str, value: &[u8]| call(target, name, Code::Ok).with(name, value);
    let (trace, span) = ("a".repeat(32), "b".repeat(16));
    let mut cases: Vec<_> = [
        "garbage".to_owned(),
        String::new(),
        format!("00-{}-{}-01", "0".repeat(32), "0".repeat(16)),
        format!("ff-{trace}-{span}-01"),
        format!("00-{}-{}-01", trace.to_uppercase(), span),
        format!("00-{trace}-{span}"),
        format!("00-{trace}-{span}-01-{}", "x".repeat(1_000)),
    ]
    .iter()
    .map(|value| served("traceparent", value.as_bytes()))
    .collect();
    let valid = format!("00-{trace}-{span}-01");
    cases.push(served("traceparent", valid.as_bytes()).and("traceparent", &valid));
    cases.push(served("traceparent", valid.as_bytes()).with("tracestate", b",=,=,\xc3\xa9"));
    cases.extend([&b"="[..], b",,,", b"key", b"a=b=c;d", b"a=%zz"].map(|value| served("baggage", value)));
    cases.push(served("baggage", vec!["k=v"; 500].join(",").as_bytes()));
    // The gateway alone reads it: backends take what fits into their headers.
    let too_long = format!("tenant={}", "7".repeat(9_000));
    let code = if target == Target::Gateway { Code::InvalidArgument } else { Code::Ok };
    cases.push(call(target, "9 KB of baggage", code).with("baggage", too_long));
    cases.push(call(target, "baggage that is no text", code).with("baggage", b"\xff\xfe"));
    cases
}

fn headers(target: Target) -> Vec<Case> {
    let served = |what| call(target, what, Code::Ok);
    let many = |what| (0..150).fold(served(what), |case, _| case.and("x-many", "1"));
    let too_large = Case { status: 431, code: None, ..served("20 KB of headers") };
    vec![
        served("no te").without("te"),
        served("binary metadata that is not base64").with("x-data-bin", "!!!"),
        served("a value that is not ASCII").with("x-name", b"\xff\xfe"),
        served("another host").with("host", "example.org"),
        served("a cookie").with("cookie", "a=b; c=d"),
        served("a user agent without a name").with("user-agent", ""),
        many("150 headers"),
        (0..5).fold(too_large, |case, _| case.and("x-large", "x".repeat(4_000))),
    ]
}

async fn requests_that_are_no_grpc(target: Target) {
    let victim = Victim::start_without_overrides(target).await;
    let mut honest = victim.client().await;
    let groups = [methods, content_types, paths, framing, encodings, timeouts, protobuf, context, headers];
    let cases: Vec<_> = groups.iter().flat_map(|cases| cases(target)).collect();
    let mut wrong = Vec::new();
    for case in &cases {
        let stream = TcpStream::connect(victim.address()).await.unwrap();
        let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
        let connection = tokio::spawn(connection);
        let answer = timeout(ANSWER, case.send(&mut client, victim.url())).await;
        let answer = answer.unwrap_or_else(|_| panic!("{target:?} has not answered {}: {:?}", case.what, case.headers));
        if answer != (case.status, case.code) {
            wrong.push(format!("{}: {answer:?}, not {:?}; {:?}", case.what, (case.status, case.code), case.headers));
        }
        connection.abort();
        honest.call().await.unwrap_or_else(|status| panic!("{target:?} after {}: {status:?}", case.what));
    }
    println!("{} cases", cases.len());
    assert!(wrong.is_empty(), "{target:?}: {wrong:#?}");
    victim.assert_held("requests that are no gRPC", Warned::Never);
}

against_each!(requests_that_are_no_grpc);
