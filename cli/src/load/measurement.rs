//! The result of a load test.

use std::time::Duration;

use crate::load::tally::Tally;

/// The result of a load test.
#[derive(Debug)]
pub struct Measurement {
    /// The counts and latencies.
    pub tally: Tally,
    /// The time from the first request to the last reply.
    pub elapsed: Duration,
    /// Whether the test was ended early.
    pub interrupted: bool,
}
