//! Asks for metrics as Prometheus does.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Instant,
};

use crate::PATIENCE;

/// The environment that has a process answer with its metrics, on a free port.
pub const PROMETHEUS: [(&str, &str); 2] =
    [("OTEL_METRICS_EXPORTER", "prometheus"), ("OTEL_EXPORTER_PROMETHEUS_PORT", "0")];

/// Status line and headers, and the body, of what this URL answers.
pub fn get(url: &str) -> (String, String) {
    let (host, path) = url.trim_start_matches("http://").split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

/// The lines of all series whose name begins so.
pub fn series(url: &str, name: &str) -> Vec<String> {
    let (head, body) = get(url);
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    body.lines().filter(|line| line.starts_with(name)).map(str::to_owned).collect()
}

/// Waits until these are the series whose names begin so: a call is counted a moment after its caller has the reply.
#[track_caller]
pub fn until_series_are(url: &str, name: &str, expected: &[String]) {
    let begun = Instant::now();
    loop {
        let mut found = series(url, name);
        found.sort_unstable();
        if found == expected {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{found:#?} are not {expected:#?}");
        std::thread::yield_now();
    }
}
