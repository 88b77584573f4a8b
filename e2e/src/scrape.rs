//! Reads metrics as Prometheus does.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Instant,
};

use crate::TIMEOUT;

/// The environment with which a process serves its metrics on a free port.
pub const PROMETHEUS: [(&str, &str); 2] =
    [("OTEL_METRICS_EXPORTER", "prometheus"), ("OTEL_EXPORTER_PROMETHEUS_PORT", "0")];

/// Returns the head (status line and headers) and the body of the reply to a GET request.
pub fn get(url: &str) -> (String, String) {
    let (host, path) = url.trim_start_matches("http://").split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

/// Returns the lines of all series whose names start with `name`.
pub fn series(url: &str, name: &str) -> Vec<String> {
    let (head, body) = get(url);
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    body.lines().filter(|line| line.starts_with(name)).map(str::to_owned).collect()
}

/// Waits until the series whose names start with `name` are these: calls are counted shortly after callers have the
/// replies.
#[track_caller]
pub fn wait_for_series(url: &str, name: &str, expected: &[String]) {
    let begun = Instant::now();
    loop {
        let mut found = series(url, name);
        found.sort_unstable();
        if found == expected {
            return;
        }
        assert!(begun.elapsed() < TIMEOUT, "{found:#?} instead of {expected:#?}");
        std::thread::yield_now();
    }
}
