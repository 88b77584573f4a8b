//! Frames and headers that HTTP/2 does not allow.

use std::time::Duration;

use tokio::time::timeout;

use crate::{
    attacker::{Attacker, Outcome},
    frames::{END_HEADERS, END_STREAM, Kind, block, call, fields, frame, headers, message, settings},
    target::{Target, against_each},
    victim::{Victim, Warned},
};

/// How long a service may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// What is wrong, the bytes, and what comes of them.
type Case = (&'static str, Vec<u8>, Expected);

/// What comes of a case. Error codes are the HTTP/2 server's choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Answered,
    /// The call is reset, or the connection closed.
    Refused,
    /// The connection is closed.
    Closed,
}

/// Requests whose headers are malformed: an error of the stream, or of the connection.
fn malformed_headers(target: Target) -> Vec<Case> {
    let right = fields(target.path());
    let call = |fields: &[(&str, &str)]| {
        [frame(Kind::Headers, END_HEADERS, 1, &block(fields)), message(1, target.message())].concat()
    };
    let more = |name, value| call(&[&right[..], &[(name, value)]].concat());
    let less = |name| call(&right.iter().copied().filter(|(field, _)| *field != name).collect::<Vec<_>>());
    let instead = |name, value| call(&right.map(|(field, old)| (field, if field == name { value } else { old })));
    let late = |name| {
        let (last, fields): (Vec<_>, Vec<_>) = right.iter().copied().partition(|(field, _)| *field == name);
        call(&[fields, last].concat())
    };
    vec![
        ("a name in upper case", more("X-Name", "1"), Expected::Refused),
        ("a name with a space", more("x name", "1"), Expected::Refused),
        ("an empty name", more("", "1"), Expected::Refused),
        ("a line break in a value", more("x-name", "a\r\nb: c"), Expected::Refused),
        ("NUL in a value", more("x-name", "a\0b"), Expected::Refused),
        ("two paths", more(":path", "/"), Expected::Refused),
        ("two methods", more(":method", "POST"), Expected::Refused),
        ("two schemes", more(":scheme", "http"), Expected::Refused),
        ("two authorities", more(":authority", "other"), Expected::Refused),
        ("an unknown pseudo-header", more(":name", "1"), Expected::Refused),
        ("the status of a response", more(":status", "200"), Expected::Refused),
        ("a path after other headers", late(":path"), Expected::Refused),
        ("no path", less(":path"), Expected::Refused),
        ("no method", less(":method"), Expected::Refused),
        ("no scheme", less(":scheme"), Expected::Refused),
        ("an empty path", instead(":path", ""), Expected::Refused),
        ("a path without a slash", instead(":path", "x"), Expected::Refused),
        ("a method with a space", instead(":method", "PO ST"), Expected::Refused),
        ("connection", more("connection", "close"), Expected::Refused),
        ("transfer-encoding", more("transfer-encoding", "chunked"), Expected::Refused),
        ("upgrade", more("upgrade", "h2c"), Expected::Refused),
        ("te with another value", instead("te", "gzip"), Expected::Refused),
        ("a content-length that is too small", more("content-length", "3"), Expected::Refused),
        ("a content-length that is too large", more("content-length", "300"), Expected::Refused),
        ("a content-length that is no number", more("content-length", "x"), Expected::Refused),
        ("no authority", less(":authority"), Expected::Answered),
        ("no te", less("te"), Expected::Answered),
    ]
}

/// Frames that are malformed, or not allowed where they are: errors of the connection.
fn malformed_frames(target: Target) -> Vec<Case> {
    let path = target.path();
    let of_kind = |kind: u8, flags: u8, stream: u32, payload: &[u8]| {
        let mut bytes = frame(Kind::Data, flags, stream, payload);
        bytes[3] = kind;
        bytes
    };
    vec![
        ("a stream of the server", headers(2, path), Expected::Closed),
        ("headers of the connection", headers(0, path), Expected::Closed),
        ("data of the connection", frame(Kind::Data, 0, 0, b"x"), Expected::Closed),
        ("data without headers", frame(Kind::Data, 0, 1, b"x"), Expected::Closed),
        ("CONTINUATION without HEADERS", frame(Kind::Continuation, END_HEADERS, 1, b""), Expected::Closed),
        ("HEADERS that do not continue", [frame(Kind::Headers, 0, 1, b""), call(3, target)].concat(), Expected::Closed),
        ("a pushed request", of_kind(5, END_HEADERS, 1, &[0, 0, 0, 2]), Expected::Closed),
        ("a reset of the connection", frame(Kind::ResetStream, 0, 0, &[0; 4]), Expected::Closed),
        ("a reset of a stream that is idle", frame(Kind::ResetStream, 0, 1, &[0; 4]), Expected::Closed),
        (
            "a reset that is too short",
            [headers(1, path), frame(Kind::ResetStream, 0, 1, &[0; 3])].concat(),
            Expected::Closed,
        ),
        ("SETTINGS of a stream", frame(Kind::Settings, 0, 1, b""), Expected::Closed),
        ("SETTINGS that are too short", frame(Kind::Settings, 0, 0, &[0; 5]), Expected::Closed),
        ("an acknowledgement with SETTINGS", frame(Kind::Settings, 1, 0, &[0; 6]), Expected::Closed),
        ("a window of 2^31", settings(&[(4, 1 << 31)]), Expected::Closed),
        ("a frame size of 1", settings(&[(5, 1)]), Expected::Closed),
        ("push that is neither on nor off", settings(&[(2, 2)]), Expected::Closed),
        ("a ping that is too short", of_kind(6, 0, 0, &[0; 7]), Expected::Closed),
        ("a ping of a stream", of_kind(6, 0, 1, &[0; 8]), Expected::Closed),
        (
            "a frame that is too large",
            [headers(1, path), frame(Kind::Data, 0, 1, &[0; 16_385])].concat(),
            Expected::Closed,
        ),
        (
            "padding that is longer than its frame",
            [headers(1, path), frame(Kind::Data, 8, 1, &[9, 0])].concat(),
            Expected::Closed,
        ),
        ("index 0 of HPACK", frame(Kind::Headers, END_HEADERS, 1, &[0x80]), Expected::Closed),
        ("an index that HPACK does not have", frame(Kind::Headers, END_HEADERS, 1, &[0xff, 0x7f]), Expected::Closed),
        ("a text that is longer than its headers", frame(Kind::Headers, END_HEADERS, 1, &[0, 0x7f]), Expected::Closed),
        ("an older stream", [call(5, target), headers(3, path)].concat(), Expected::Closed),
        (
            "a window of the connection that is too large",
            frame(Kind::WindowUpdate, 0, 0, &[0x7f, 0xff, 0xff, 0xff]),
            Expected::Closed,
        ),
        ("an unknown frame", [of_kind(99, 255, 7, b"x"), call(9, target)].concat(), Expected::Answered),
        ("an unknown setting", [settings(&[(99, 99)]), call(1, target)].concat(), Expected::Answered),
        (
            "nothing but headers",
            frame(Kind::Headers, END_HEADERS | END_STREAM, 1, &block(&fields(path))),
            Expected::Answered,
        ),
    ]
}

async fn what_is_no_http2(target: Target) {
    let victim = Victim::start(target, "0").await;
    let mut honest = victim.client().await;
    let cases: Vec<_> = [malformed_headers, malformed_frames].iter().flat_map(|cases| cases(target)).collect();
    let mut wrong = Vec::new();
    for (what, bytes, expected) in &cases {
        let mut attacker = Attacker::connect(victim.address(), &[]).await;
        attacker.send(bytes).await;
        let outcome = timeout(ANSWER, attacker.outcome()).await;
        let outcome = outcome.unwrap_or_else(|_| panic!("{target:?} has not answered {what}"));
        let is_expected = match expected {
            Expected::Answered => outcome == Outcome::Answered,
            Expected::Refused => outcome != Outcome::Answered,
            Expected::Closed => matches!(outcome, Outcome::Closed(code) if code != Some(0)),
        };
        if !is_expected {
            wrong.push(format!("{what}: {outcome:?}, not {expected:?}"));
        }
        honest.call().await.unwrap_or_else(|status| panic!("{target:?} after {what}: {status:?}"));
    }
    println!("{} cases", cases.len());
    assert!(wrong.is_empty(), "{target:?}: {wrong:#?}");
    victim.assert_held("what is no HTTP/2", Warned::Never);
}

against_each!(what_is_no_http2);
