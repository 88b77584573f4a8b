//! A service of this project alone: a gRPC server, and a web server for its metrics.

#![allow(dead_code, reason = "every test uses a part of it")]

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

/// A running service. It is killed when this is dropped.
pub(crate) struct OtherServer {
    process: Child,
    /// The URL at which it serves gRPC.
    pub(crate) grpc: String,
    /// The URL at which it serves metrics over HTTP/1.1.
    pub(crate) metrics: String,
}

// === impl OtherServer ===

impl OtherServer {
    /// Starts the service on free ports, and waits until it has logged both.
    pub(crate) fn start(name: &str) -> Self {
        Self::start_with(name, &[])
    }

    /// Starts the service with these flags on free ports, and waits until it has logged both.
    pub(crate) fn start_with(name: &str, flags: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_fanout"))
            .args([name, "--listen", "127.0.0.1:0", "--log-format", "json"])
            .args(flags)
            .env("OTEL_METRICS_EXPORTER", "prometheus")
            .env("OTEL_EXPORTER_PROMETHEUS_PORT", "0")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut grpc, mut metrics) = (None, None);
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        while grpc.is_none() || metrics.is_none() {
            let line = lines.next().expect("the service logs where it listens").unwrap();
            let line: serde_json::Value = serde_json::from_str(&line).unwrap();
            match line["message"].as_str() {
                Some("listening") => grpc = line["address"].as_str().map(|address| format!("http://{address}")),
                Some("metrics can be scraped") => {
                    metrics = line["url"].as_str().map(|url| url.trim_end_matches("/metrics").to_owned());
                }
                _ => {}
            }
        }
        Self { process, grpc: grpc.unwrap(), metrics: metrics.unwrap() }
    }
}

impl Drop for OtherServer {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}
