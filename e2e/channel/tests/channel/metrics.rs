//! Reads a channel's metrics.

use grpc_channel::Builder;
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::Registry;

use crate::{Client, connected};

/// The metrics of one channel.
pub(crate) struct Metrics {
    registry: Registry,
    _provider: SdkMeterProvider,
}

// === impl Metrics ===

impl Metrics {
    /// Returns a client of the channel, and its metrics.
    pub(crate) async fn of(builder: Builder) -> (Client, Self) {
        let registry = Registry::new();
        let exporter = opentelemetry_prometheus::exporter().with_registry(registry.clone()).without_units();
        let provider = SdkMeterProvider::builder().with_reader(exporter.build().unwrap()).build();
        let client = connected(builder.meter(provider.meter("test"))).await;
        (client, Self { registry, _provider: provider })
    }

    /// Returns the sum of a metric's series, such as `fanout_backend_in_flight`.
    pub(crate) fn get(&self, name: &str) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name).unwrap_or_else(|| {
            panic!(
                "{name} is not among {:?}",
                families.iter().map(prometheus::proto::MetricFamily::name).collect::<Vec<_>>()
            )
        });
        family.get_metric().iter().map(|series| series.get_gauge().get_value() + series.get_counter().get_value()).sum()
    }
}
