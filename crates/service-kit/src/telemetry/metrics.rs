//! Where metrics go, and how they are aggregated.
//!
//! # Layout
//!
//! * `settings`: what the environment asks for.
//! * `push`: to an OTLP collector, every minute unless `OTEL_METRIC_EXPORT_INTERVAL` says otherwise.
//! * `scrape`: to Prometheus, when it asks.
//! * `runtime`: what tokio says of itself.

mod push;
mod runtime;
mod scrape;
mod settings;

use std::{net::SocketAddr, sync::OnceLock, time::Duration};

use opentelemetry::{
    global,
    metrics::{Meter, MeterProvider as _},
};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    metrics::{Aggregation, Instrument, InstrumentKind, SdkMeterProvider, Stream},
};

use self::scrape::Scrape;
pub use self::settings::{MetricsSettings, PrometheusAddress};
use super::TelemetryError;

/// Where the buckets of a duration's histogram end, in seconds: what the semantic conventions advise for RPC.
const DURATIONS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// How many sets of attributes one instrument keeps apart; what comes after is counted together, marked
/// `otel.metric.overflow`. Methods, codes and backends make dozens: more is a mistake, and must not cost memory.
const CARDINALITY_LIMIT: usize = 1_000;

/// Whether anybody gets metrics. Set once for the process, as the global provider is.
static EXPORTED: OnceLock<()> = OnceLock::new();

/// Running metrics. Nothing runs where no exporter is set, and instruments cost nothing.
#[derive(Debug)]
pub(super) struct Metrics {
    provider: Option<SdkMeterProvider>,
    scrape: Option<Scrape>,
}

/// What all our instruments are made by.
pub fn meter() -> Option<Meter> {
    EXPORTED.get().map(|()| global::meter("fanout"))
}

// === impl Metrics ===

impl Metrics {
    /// Starts what the settings ask for, and makes it the process's own. Needs a tokio runtime.
    pub(super) fn start(settings: &MetricsSettings, resource: Resource) -> Result<Self, TelemetryError> {
        if settings.is_off() {
            return Ok(Self { provider: None, scrape: None });
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
        runtime::watch(&provider.meter("fanout"), &tokio::runtime::Handle::current());
        global::set_meter_provider(provider.clone());
        EXPORTED.get_or_init(|| ());
        Ok(Self { provider: Some(provider), scrape })
    }

    /// Where Prometheus can scrape.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.scrape.as_ref().map(Scrape::address)
    }

    /// Sends the last figures, and ends the export. Blocks, for up to five seconds whatever `timeout` says.
    pub(super) fn shutdown(self, timeout: Duration) -> OTelSdkResult {
        drop(self.scrape);
        self.provider.map_or(Ok(()), |provider| provider.shutdown_with_timeout(timeout))
    }
}

/// How an instrument is aggregated, whoever made it.
fn stream(instrument: &Instrument) -> Stream {
    let mut stream = Stream::builder().with_cardinality_limit(CARDINALITY_LIMIT);
    if instrument.kind() == InstrumentKind::Histogram && instrument.unit() == "s" {
        let boundaries = DURATIONS.to_vec();
        stream = stream.with_aggregation(Aggregation::ExplicitBucketHistogram { boundaries, record_min_max: true });
    }
    stream.build().expect("the boundaries rise, and the limit is not 0")
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
