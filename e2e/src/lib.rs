//! What the tests of the whole share: `fanout` and its services as processes, and means to observe them.
//!
//! # Layout
//!
//! * [`binary`]: the `fanout` executable under test.
//! * [`process`]: a process of it, which ends with the test; [`log`]: its log lines; [`wait`]: waits that end.
//! * [`up`]: `fanout up` with all services.
//! * [`service`]: one service by itself; [`backends`]: those that a test needs but does not examine.
//! * [`certificates`]: certificates for services.
//! * [`collector`]: an OTLP collector that keeps what it receives.
//! * [`scrape`]: reads metrics as Prometheus does.
//! * [`report`]: reads a gateway's report.
//! * [`raw_call`]: a call without a gRPC client.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "used by tests alone: a panic fails the test")]

pub mod backends;
pub mod binary;
pub mod certificates;
pub mod collector;
pub mod log;
pub mod process;
pub mod raw_call;
pub mod report;
pub mod scrape;
pub mod service;
pub mod up;
pub mod wait;

use std::time::Duration;

use tonic::transport::{Channel, Endpoint};

/// The upper bound for every wait; a test that waits longer fails.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// Connects to a server. Each call fails after [`TIMEOUT`].
pub async fn connect(url: &str) -> Channel {
    let endpoint = Endpoint::from_shared(url.to_owned()).unwrap();
    endpoint.connect_timeout(TIMEOUT).timeout(TIMEOUT).connect().await.unwrap()
}
