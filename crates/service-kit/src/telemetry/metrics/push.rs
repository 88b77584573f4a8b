//! Metrics to an OTLP collector.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use opentelemetry_otlp::{MetricExporter, Protocol, WithExportConfig as _};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    metrics::{PeriodicReader, Temporality, data::ResourceMetrics, exporter::PushMetricExporter},
};

use super::super::TelemetryError;

/// Exports every minute, or as often as `OTEL_METRIC_EXPORT_INTERVAL` says, on a thread of its own: a collector that is
/// slow or gone costs no request any time, and only detail, since the next figures include the last.
pub(super) fn reader() -> Result<PeriodicReader<WarnOnce<MetricExporter>>, TelemetryError> {
    let inner = MetricExporter::builder().with_tonic().with_protocol(Protocol::Grpc).build()?;
    Ok(PeriodicReader::builder(WarnOnce { inner, failing: AtomicBool::new(false) }).build())
}

/// Says once that metrics cannot be exported, until it works again.
#[derive(Debug)]
pub(super) struct WarnOnce<E> {
    inner: E,
    failing: AtomicBool,
}

// === impl WarnOnce ===

impl<E: PushMetricExporter> PushMetricExporter for WarnOnce<E> {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let result = self.inner.export(metrics).await;
        match &result {
            Err(error) => {
                if !self.failing.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%error, "metrics are not exported: the collector does not take them");
                }
            }
            Ok(()) => {
                if self.failing.swap(false, Ordering::Relaxed) {
                    tracing::info!("the collector takes metrics again");
                }
            }
        }
        result
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.inner.temporality()
    }
}
