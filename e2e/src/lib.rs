//! What the tests of the whole share: `fanout` and its services as processes, and what is looked at from outside.
//!
//! # Layout
//!
//! * [`binary`]: the `fanout` executable under test.
//! * [`up`]: `fanout up` with all services.
//! * [`service`]: one service by itself; [`backends`]: those that a test needs beside it.
//! * [`collector`]: an OTLP collector that keeps what it receives.
//! * [`scrape`]: reads metrics as Prometheus does.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "for tests alone: a panic fails the test")]

pub mod backends;
pub mod binary;
pub mod collector;
pub mod scrape;
pub mod service;
pub mod up;

use std::time::Duration;

/// How long anything here may take before the test counts as hung.
pub const PATIENCE: Duration = Duration::from_secs(30);
