//! What one measurement gave.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use crate::{
    load::Measured,
    scenario::{Point, Scenario},
    subject::Subject,
};

/// One measurement. Times are in microseconds.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Sample {
    pub(crate) scenario: String,
    pub(crate) subject: &'static str,
    /// The subject that its ratios are of.
    pub(crate) reference: &'static str,
    pub(crate) in_flight: usize,
    /// How many calls a request has.
    pub(crate) width: usize,
    pub(crate) round: usize,
    pub(crate) requests: u64,
    /// Requests without an answer, by what came in its place. They are in no other figure.
    pub(crate) failures: BTreeMap<String, u64>,
    pub(crate) reply_bytes: u64,
    /// Processor time of the process for each answer.
    pub(crate) processor: f64,
    /// The kernel's part of it, from 0 to 1.
    pub(crate) kernel_share: f64,
    pub(crate) per_second: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

// === impl Sample ===

impl Sample {
    pub(crate) fn new(scenario: Scenario, subject: &Subject, point: Point, round: usize, measured: &Measured) -> Self {
        // `Load::measure` answers only if there are some.
        #[expect(clippy::cast_precision_loss, reason = "exact below 2^53")]
        let requests = measured.requests as f64;
        let latency = |percent| microseconds(Duration::from_nanos(measured.latencies.value_at_percentile(percent)));
        Self {
            scenario: scenario.name(),
            subject: subject.name,
            reference: scenario.reference(subject.name),
            in_flight: point.in_flight,
            width: point.width,
            round,
            requests: measured.requests,
            failures: measured.failures.clone(),
            reply_bytes: measured.reply_bytes,
            processor: microseconds(measured.processor_time.total()) / requests,
            kernel_share: measured.kernel_share(),
            per_second: requests / measured.elapsed.as_secs_f64(),
            p50: latency(50.0),
            p99: latency(99.0),
        }
    }
}

fn microseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}
