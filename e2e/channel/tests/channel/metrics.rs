//! Reads a channel's metrics.

use grpc_channel::Builder;
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{
    Registry,
    proto::{Metric, MetricFamily},
};

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
        self.sum(name, |_| true)
    }

    /// Returns how many endpoints are in this state, such as `ejected`.
    pub(crate) fn endpoints(&self, state: &str) -> f64 {
        self.sum("fanout_backend_replicas", |series| series.get_label().iter().any(|label| label.value() == state))
    }

    fn sum(&self, name: &str, is_meant: impl Fn(&Metric) -> bool) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name).unwrap_or_else(|| {
            panic!("{name} is not among {:?}", families.iter().map(MetricFamily::name).collect::<Vec<_>>())
        });
        let meant = family.get_metric().iter().filter(|series| is_meant(series));
        meant.map(|series| series.get_gauge().get_value() + series.get_counter().get_value()).sum()
    }
}
