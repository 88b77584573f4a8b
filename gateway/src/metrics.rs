//! The fan-out's figures as metrics: what its span and the reply's report say, of all requests together.

use std::time::Duration;

use fan_out::Report;
use opentelemetry::{
    KeyValue,
    metrics::{Histogram, Meter},
};

/// How long fan-outs took, what overlapping saved, and what joining would still save.
///
/// Clones share the instruments. A fan-out whose caller went away has no report, and is not counted.
#[derive(Clone, Debug)]
pub(crate) struct FanOutMetrics {
    /// `None` if metrics are not exported.
    instruments: Option<Instruments>,
}

#[derive(Clone, Debug)]
struct Instruments {
    wall: Histogram<f64>,
    saved: Histogram<f64>,
    avoidable: Histogram<f64>,
}

// === impl FanOutMetrics ===

impl FanOutMetrics {
    /// Creates the instruments. Records nothing if there is no meter.
    pub(crate) fn new(meter: Option<&Meter>) -> Self {
        Self { instruments: meter.map(Instruments::new) }
    }

    /// Counts a fan-out of this method of the gateway.
    pub(crate) fn record(&self, method: &'static str, report: &Report) {
        let Some(Instruments { wall, saved, avoidable }) = &self.instruments else { return };
        let attributes =
            [KeyValue::new("rpc.method", method), KeyValue::new("fanout.strategy", report.strategy.as_str())];
        for (histogram, time) in [(wall, report.wall), (saved, report.saved), (avoidable, report.avoidable)] {
            histogram.record(Duration::as_secs_f64(&time), &attributes);
        }
    }
}

// === impl Instruments ===

impl Instruments {
    fn new(meter: &Meter) -> Self {
        let histogram = |name: &'static str, description: &'static str| {
            meter.f64_histogram(name).with_unit("s").with_description(description).build()
        };
        Self {
            wall: histogram("fanout.fan_out.wall", "From the first call's start to the last call's end"),
            saved: histogram("fanout.fan_out.saved", "What overlapping the calls saved"),
            avoidable: histogram("fanout.fan_out.avoidable", "What joining the calls would still save"),
        }
    }
}
