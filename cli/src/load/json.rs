//! The document of `fanout load --json`.
//!
//! One object. All durations are numbers of milliseconds; all names are stable.
//!
//! ```json
//! {
//!   "gateway": "http://127.0.0.1:50051", "method": "GetProfile", "user": "ada",
//!   "strategy": "sequential", "loop": "closed", "callers": 2, "connections": 1,
//!   "rate_per_second": null, "max_in_flight": null,
//!   "requests": 2, "succeeded": 2, "interrupted": false,
//!   "wall_ms": 6005.2, "throughput_per_second": 0.333,
//!   "codes": {"OK": 2},
//!   "latency_ms": {"all": {"count": 2, "min": 6004.1, "p50": 6004.1, "p90": 6005.0, "p99": 6005.0, "p99_9": 6005.0, "max": 6005.0},
//!                  "ok": {}, "failed": null},
//!   "late": 0, "latest_ms": 0, "unsent": 0, "abandoned": 0,
//!   "overlap": {"reports": 2, "mean_total_ms": 6002.1, "mean_wall_ms": 6002.2, "mean_saved_ms": 0}
//! }
//! ```
//!
//! * `strategy`: null if the gateway chose it. `loop`: `closed` with `callers`, or `open` with
//!   `rate_per_second` and `max_in_flight`; what does not apply is null.
//! * `requests`: the completed ones, which `codes` counts by gRPC status code; without `abandoned`, those that were not
//!   complete when the test was ended early (`interrupted`).
//! * `latency_ms`: in an open loop, from the instant at which a request was due. `ok` and `failed` have the members of
//!   `all`; each is null if there is no such request.
//! * `late`: requests sent more than a millisecond after they were due, by `latest_ms` at most; `unsent`: requests whose
//!   timeout had passed before they could be sent, counted as `DEADLINE_EXCEEDED`.
//! * `overlap`: means over the gateway's reports; null if there are none.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::load::{
    latencies::Latencies,
    measurement::Measurement,
    workload::{Loop, Workload},
};
use rpc_layers::trace::code_name;

use crate::terminal::duration_format::milliseconds;

/// The whole document.
#[derive(Debug, Serialize)]
pub struct Document {
    gateway: String,
    method: &'static str,
    user: String,
    strategy: Option<&'static str>,
    r#loop: &'static str,
    callers: Option<usize>,
    connections: usize,
    rate_per_second: Option<f64>,
    max_in_flight: Option<usize>,
    requests: u64,
    succeeded: u64,
    interrupted: bool,
    wall_ms: f64,
    throughput_per_second: f64,
    codes: BTreeMap<&'static str, u64>,
    latency_ms: LatencyDocument,
    late: u64,
    latest_ms: f64,
    unsent: u64,
    abandoned: u64,
    overlap: Option<OverlapDocument>,
}

#[derive(Debug, Serialize)]
struct LatencyDocument {
    all: Option<PercentileDocument>,
    ok: Option<PercentileDocument>,
    failed: Option<PercentileDocument>,
}

#[derive(Debug, Serialize)]
struct PercentileDocument {
    count: u64,
    min: f64,
    p50: f64,
    p90: f64,
    p99: f64,
    p99_9: f64,
    max: f64,
}

#[derive(Debug, Serialize)]
struct OverlapDocument {
    reports: u32,
    mean_total_ms: f64,
    mean_wall_ms: f64,
    mean_saved_ms: f64,
}

// === impl Document ===

impl Document {
    /// Creates the document of a measurement.
    pub fn new(workload: &Workload, measurement: &Measurement) -> Self {
        let tally = &measurement.tally;
        let (name, callers, rate, max_in_flight) = match workload.load {
            Loop::Closed { callers, .. } => ("closed", Some(callers), None, None),
            Loop::Open { rate, max_in_flight, .. } => ("open", None, Some(rate), Some(max_in_flight)),
        };
        #[allow(clippy::cast_precision_loss, reason = "exact below 2^53 requests")]
        let done = tally.done() as f64;
        Self {
            gateway: workload.request.options.gateway.to_string(),
            method: workload.request.method.rpc(),
            user: workload.request.user.to_string(),
            strategy: workload.strategy.map(crate::gateway_client::request::Strategy::name),
            r#loop: name,
            callers,
            connections: workload.connections,
            rate_per_second: rate,
            max_in_flight,
            requests: tally.done(),
            succeeded: tally.succeeded(),
            interrupted: measurement.interrupted,
            wall_ms: milliseconds(measurement.elapsed),
            throughput_per_second: done / measurement.elapsed.as_secs_f64().max(1e-9),
            codes: tally.codes().into_iter().map(|(code, entry)| (code_name(code), entry.count)).collect(),
            latency_ms: LatencyDocument {
                all: percentiles(&tally.ok.with(&tally.failed)),
                ok: percentiles(&tally.ok),
                failed: percentiles(&tally.failed),
            },
            late: tally.late,
            latest_ms: milliseconds(tally.latest),
            unsent: tally.unsent,
            abandoned: tally.abandoned,
            overlap: tally.overlap.means().map(|means| {
                let [mean_total_ms, mean_wall_ms, mean_saved_ms] = means.map(milliseconds);
                OverlapDocument { reports: tally.overlap.reports, mean_total_ms, mean_wall_ms, mean_saved_ms }
            }),
        }
    }
}

fn percentiles(latencies: &Latencies) -> Option<PercentileDocument> {
    let at = |percent| milliseconds(latencies.percentile(percent));
    (!latencies.is_empty()).then(|| PercentileDocument {
        count: latencies.len(),
        min: milliseconds(latencies.min()),
        p50: at(50.0),
        p90: at(90.0),
        p99: at(99.0),
        p99_9: at(99.9),
        max: milliseconds(latencies.max()),
    })
}
