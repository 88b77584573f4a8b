//! What a browser sees.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

mod fixture;

use std::time::Duration;

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};

use viewer::Options;

use self::fixture::{Viewer, otlp_json, request, trace_id};

#[tokio::test]
async fn the_page_is_served_with_a_strict_policy_and_a_tag() {
    let viewer = Viewer::start().await;
    let page = viewer.get_reply("/").await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'; script-src 'self'; style-src 'self'"), "{policy}");
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));

    // Everything that it loads is there.
    let text = page.text();
    let loaded: Vec<&str> = text.split(['"']).filter(|word| is_path(word)).collect();
    assert!(loaded.len() > 5, "{loaded:?}");
    for path in loaded {
        assert_eq!(viewer.get_reply(path).await.status, 200, "{path}");
    }

    let tag = page.header("etag").unwrap();
    let again = request(viewer.page, "GET", "/", &[("if-none-match", tag)], b"").await;
    assert_eq!((again.status, again.body.len()), (304, 0));
    let head = request(viewer.page, "HEAD", "/", &[], b"").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
}

fn is_path(word: &str) -> bool {
    word.strip_prefix('/').is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_alphanumeric()))
}

#[tokio::test]
async fn pages_of_others_are_refused() {
    let viewer = Viewer::start().await;
    let local = format!("localhost:{}", viewer.page.port());
    assert_eq!(request(viewer.page, "GET", "/api/status", &[("host", &local)], b"").await.status, 200);
    for host in ["evil.example", "evil.example:8080", "127.0.0.1.evil.example"] {
        let reply = request(viewer.page, "GET", "/api/status", &[("host", host)], b"").await;
        assert_eq!(reply.status, 403, "{host}");
        assert!(reply.json()["error"]["message"].as_str().unwrap().contains(host), "{}", reply.text());
    }
    let named = Viewer::with(Options { hosts: vec!["viewer.example".into()], ..Options::default() }).await;
    for (host, status) in [("viewer.example", 200), ("Viewer.Example:8080", 200), ("other.example", 403)] {
        let reply = request(named.page, "GET", "/api/status", &[("host", host)], b"").await;
        assert_eq!(reply.status, status, "{host}: {}", reply.text());
    }
    let own = format!("http://{}", viewer.page);
    for (origin, status) in [(own.as_str(), 404), ("http://evil.example", 403), ("null", 403)] {
        let reply = request(viewer.page, "POST", "/api/run", &[("origin", origin)], b"{}").await;
        assert_eq!(reply.status, status, "{origin}: {}", reply.text());
    }
}

#[tokio::test]
async fn errors_name_the_field_and_what_is_allowed() {
    let viewer = Viewer::start().await;
    for (path, status, field, message) in [
        ("/api/traces?limit=0", 400, Some("limit"), "invalid value '0' for 'limit': expected a number from 1 to 500"),
        ("/api/traces?min_duration=soon", 400, Some("min_duration"), "expected a duration such as 100ms"),
        ("/api/traces?error=maybe", 400, Some("error"), "expected true or false"),
        ("/api/nothing", 404, None, "there is nothing at /api/nothing"),
        ("/api/run", 405, None, "cannot be done with this method"),
        ("/api/gateway", 404, None, "start the viewer with --gateway URL"),
    ] {
        let reply = viewer.get_reply(path).await;
        let error = reply.json()["error"].clone();
        assert_eq!((reply.status, error["field"].as_str()), (status, field), "{path}: {error}");
        assert!(error["message"].as_str().unwrap().contains(message), "{path}: {error}");
    }
}

#[tokio::test]
async fn lists_are_newest_first_and_can_be_filtered_and_continued() {
    let viewer = Viewer::start().await;
    for number in 1..=5 {
        let service = if number % 2 == 0 { "even" } else { "odd" };
        let name = format!("operation {number}");
        let json = otlp_json(&trace_id(number), service, &[(1, 0, &name, 0, number * 100)]);
        assert_eq!(viewer.post_traces("application/json", json.as_bytes()).await.status, 200);
    }
    let ids = |list: &Value| -> Vec<String> {
        let traces = list["traces"].as_array().unwrap().iter();
        traces.map(|trace| trace["trace_id"].as_str().unwrap().trim_start_matches('0').to_owned()).collect()
    };
    for (query, expected) in [
        ("", &["5", "4", "3", "2", "1"][..]),
        ("service=even", &["4", "2"]),
        ("service=none", &[]),
        ("operation=operation+3", &["3"]),
        ("service=even&operation=operation+3", &[]),
        ("min_duration=200ms&max_duration=400ms", &["4", "3", "2"]),
        ("error=true", &[]),
        ("error=false&limit=1", &["5"]),
    ] {
        assert_eq!(ids(&viewer.get(&format!("/api/traces?{query}")).await), expected, "{query}");
    }
    let first = viewer.get("/api/traces?limit=2").await;
    let next = viewer.get(&format!("/api/traces?limit=3&before={}", first["next"].as_str().unwrap())).await;
    assert_eq!((ids(&first), ids(&next)), (vec!["5".into(), "4".into()], vec!["3".into(), "2".into(), "1".into()]));
    assert_eq!(next["next"], Value::Null);
}

#[tokio::test]
async fn readers_are_told_of_traces_as_they_come() {
    let viewer = Viewer::start().await;
    let mut stream = BufReader::new(TcpStream::connect(viewer.page).await.unwrap());
    let head = format!("GET /api/events HTTP/1.1\r\nhost: {}\r\n\r\n", viewer.page);
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut lines = stream.lines();
    // The first words of the stream: from now on nothing is missed.
    next(&mut lines, "retry: ").await;

    let json = otlp_json(&trace_id(7), "shop", &[(1, 0, "checkout", 0, 5)]);
    assert_eq!(viewer.post_traces("application/json", json.as_bytes()).await.status, 200);
    next(&mut lines, "event: trace").await;
    let trace: Value = serde_json::from_str(&next(&mut lines, "data: ").await).unwrap();
    assert_eq!((&trace["trace_id"], &trace["root"]["name"]), (&trace_id(7).into(), &"checkout".into()));
    next(&mut lines, "event: status").await;
    let status: Value = serde_json::from_str(&next(&mut lines, "data: ").await).unwrap();
    assert_eq!(status["traces"], 1);
    // A reader holds nothing up.
    viewer.stop().await;
}

/// Returns what follows `start` in the next line that has it.
async fn next(lines: &mut tokio::io::Lines<BufReader<TcpStream>>, start: &str) -> String {
    let found = async {
        loop {
            let line = lines.next_line().await.unwrap().expect("the stream goes on");
            if let Some(rest) = line.strip_prefix(start) {
                return rest.to_owned();
            }
        }
    };
    timeout(Duration::from_secs(20), found).await.unwrap_or_else(|_| panic!("no line {start:?}"))
}
