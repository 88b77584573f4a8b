//! Metrics of all fan-outs: the times that the span and the report of each one have.

use std::time::Duration;

use fan_out::Report;
use opentelemetry::{
    KeyValue,
    metrics::{Histogram, Meter},
};

/// Histograms of how long fan-outs took, how much time overlapping saved, and how much more it would save.
///
/// Clones share the instruments. A fan-out whose caller has gone has no report, and is not counted.
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

    /// Records a fan-out for a method of the gateway.
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
            saved: histogram("fanout.fan_out.saved", "The time that overlapping the calls saved"),
            avoidable: histogram("fanout.fan_out.avoidable", "The time that more overlapping would save"),
        }
    }
}
