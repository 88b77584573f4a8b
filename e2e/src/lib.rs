//! What the tests of the whole share: `fanout` and its services as processes, and means to observe them.
//!
//! # Layout
//!
//! * [`binary`]: the `fanout` executable under test.
//! * [`up`]: `fanout up` with all services.
//! * [`service`]: one service by itself; [`backends`]: those that a test needs but does not examine.
//! * [`collector`]: an OTLP collector that keeps what it receives.
//! * [`scrape`]: reads metrics as Prometheus does.
//! * [`raw_call`]: a call without a gRPC client.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "used by tests alone: a panic fails the test")]

pub mod backends;
pub mod binary;
pub mod collector;
pub mod raw_call;
pub mod scrape;
pub mod service;
pub mod up;

use std::time::Duration;

/// The upper bound for every wait; a test that waits longer fails.
pub const TIMEOUT: Duration = Duration::from_secs(30);
