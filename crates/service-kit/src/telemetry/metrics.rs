//! Where metrics go, and how they are aggregated.
//!
//! # Layout
//!
//! * `settings`: [`MetricsSettings`], from the environment.
//! * `push`: to an OTLP collector, every minute or at `OTEL_METRIC_EXPORT_INTERVAL`.
//! * `scrape`: to Prometheus, on request.
//! * `runtime`: metrics of the tokio runtimes.

mod push;
mod runtime;
mod scrape;
mod settings;

use std::{net::SocketAddr, time::Duration};

use opentelemetry::metrics::{Meter, MeterProvider as _};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    metrics::{Aggregation, Instrument, InstrumentKind, SdkMeterProvider, Stream},
};

use self::scrape::Scrape;
pub use self::settings::{MetricsSettings, PrometheusAddress};
use super::error::TelemetryError;
use crate::workers::Workers;

/// The upper bounds of the buckets of durations, in seconds, by the semantic conventions for RPC.
const DURATIONS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// How many sets of attributes an instrument has at most. Others are counted together, marked `otel.metric.overflow`.
/// Methods, codes and backends make dozens; more would be a mistake, which must not cost memory.
const CARDINALITY_LIMIT: usize = 1_000;

/// The instrumentation scope of all instruments.
const SCOPE: &str = "fanout";

/// Running metrics. Empty if no exporter is configured.
#[derive(Debug)]
pub(super) struct Metrics {
    provider: Option<SdkMeterProvider>,
    scrape: Option<Scrape>,
}

// === impl Metrics ===

impl Metrics {
    /// Returns metrics that go nowhere.
    pub(super) fn none() -> Self {
        Self { provider: None, scrape: None }
    }

    /// Starts the exporters of the settings. Has to be called in a tokio runtime.
    pub(super) fn start(
        settings: &MetricsSettings,
        resource: Resource,
        workers: &Workers,
    ) -> Result<Self, TelemetryError> {
        if settings.is_off() {
            return Ok(Self::none());
        }
        let mut builder = SdkMeterProvider::builder()
            .with_resource(resource)
            .with_view(|instrument: &Instrument| Some(stream(instrument)));
        if settings.otlp {
            builder = builder.with_reader(push::reader()?);
        }
        let scrape = match &settings.prometheus {
            Some(address) => {
                let (reader, scrape) = Scrape::start(address)?;
                builder = builder.with_reader(reader);
                Some(scrape)
            }
            None => None,
        };
        let provider = builder.build();
        runtime::observe(&provider.meter(SCOPE), workers);
        Ok(Self { provider: Some(provider), scrape })
    }

    /// Returns the meter that creates the instruments of the process, or `None` if metrics are not exported.
    pub(super) fn meter(&self) -> Option<Meter> {
        self.provider.as_ref().map(|provider| provider.meter(SCOPE))
    }

    /// Returns the address that Prometheus can scrape.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.scrape.as_ref().map(Scrape::address)
    }

    /// Exports the last values, and ends the export. Blocks for up to five seconds, regardless of `timeout`.
    pub(super) fn shutdown(self, timeout: Duration) -> OTelSdkResult {
        drop(self.scrape);
        self.provider.map_or(Ok(()), |provider| provider.shutdown_with_timeout(timeout))
    }
}

/// Returns how an instrument is aggregated.
fn stream(instrument: &Instrument) -> Stream {
    let mut stream = Stream::builder().with_cardinality_limit(CARDINALITY_LIMIT);
    if instrument.kind() == InstrumentKind::Histogram && instrument.unit() == "s" {
        let boundaries = DURATIONS.to_vec();
        stream = stream.with_aggregation(Aggregation::ExplicitBucketHistogram { boundaries, record_min_max: true });
    }
    stream.build().expect("the boundaries ascend, and the limit is not 0")
}

#[cfg(test)]
mod tests {
    use opentelemetry::KeyValue;
    use prometheus::{Registry, TextEncoder};

    use super::*;

    #[test]
    fn a_duration_has_the_buckets_of_the_conventions_and_a_bound_on_its_series() {
        let registry = Registry::new();
        let reader = opentelemetry_prometheus::exporter().with_registry(registry.clone()).build().unwrap();
        let provider = SdkMeterProvider::builder()
            .with_view(|instrument: &Instrument| Some(stream(instrument)))
            .with_reader(reader)
            .build();
        let duration = provider.meter("test").f64_histogram("some.duration").with_unit("s").build();
        for caller in 0..2_000 {
            duration.record(0.02, &[KeyValue::new("caller", caller)]);
        }
        let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        let buckets: Vec<f64> = text
            .lines()
            .filter(|line| line.starts_with("some_duration_seconds_bucket{caller=\"7\""))
            .filter_map(|line| line.split_once("le=\"")?.1.split_once('"')?.0.parse().ok())
            .filter(|bucket: &f64| bucket.is_finite())
            .collect();
        assert_eq!(buckets, DURATIONS);
        let counts: Vec<&str> = text.lines().filter(|line| line.starts_with("some_duration_seconds_count")).collect();
        assert_eq!(counts.len(), CARDINALITY_LIMIT + 1, "and one for all others");
        let others = counts.iter().find(|line| line.contains("otel_metric_overflow=\"true\"")).unwrap();
        assert!(others.ends_with("} 1000"), "none is lost: {others}");
    }
}
