//! The fan-out's figures as metrics: what its span and the reply's report say, of all requests together.

use std::time::Duration;

use fan_out::Report;
use opentelemetry::{KeyValue, global, metrics::Histogram};

/// How long fan-outs took, what overlapping saved, and what joining would still save.
///
/// Clones share the instruments; without an exporter they cost next to nothing. A fan-out whose caller went away has no
/// report, and is not counted.
#[derive(Clone, Debug)]
pub(crate) struct FanOutMeters {
    wall: Histogram<f64>,
    saved: Histogram<f64>,
    avoidable: Histogram<f64>,
}

// === impl FanOutMeters ===

impl FanOutMeters {
    pub(crate) fn new() -> Self {
        let meter = global::meter("fanout");
        let histogram = |name: &'static str, description: &'static str| {
            meter.f64_histogram(name).with_unit("s").with_description(description).build()
        };
        Self {
            wall: histogram("fanout.fan_out.wall", "From the first call's start to the last call's end"),
            saved: histogram("fanout.fan_out.saved", "What overlapping the calls saved"),
            avoidable: histogram("fanout.fan_out.avoidable", "What joining the calls would still save"),
        }
    }

    /// Counts a fan-out of this method of the gateway.
    pub(crate) fn record(&self, method: &'static str, report: &Report) {
        let attributes =
            [KeyValue::new("rpc.method", method), KeyValue::new("fanout.strategy", report.strategy.as_str())];
        for (histogram, time) in
            [(&self.wall, report.wall), (&self.saved, report.saved), (&self.avoidable, report.avoidable)]
        {
            histogram.record(Duration::as_secs_f64(&time), &attributes);
        }
    }
}
