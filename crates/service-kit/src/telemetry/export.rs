//! Where spans go.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithTonicConfig as _};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{self, BatchSpanProcessor, SdkTracerProvider, SpanData},
};

use rpc_layers::trace::DecidedIds;

use super::{
    collector::Collector,
    environment::{SPANS, is_disabled, value},
    error::TelemetryError,
};

/// Returns a provider that creates trace ids and, if the environment names a collector, exports spans; and whether it
/// does.
pub(super) fn tracer_provider(resource: Resource) -> Result<(SdkTracerProvider, bool), TelemetryError> {
    let builder = SdkTracerProvider::builder().with_id_generator(DecidedIds::default()).with_resource(resource);
    if !enabled() {
        return Ok((builder.build(), false));
    }
    let Collector { endpoint, tls, headers } = Collector::of(SPANS)?;
    let exporter = SpanExporter::builder().with_tonic().with_protocol(opentelemetry_otlp::Protocol::Grpc);
    let exporter = exporter.with_endpoint(endpoint).with_interceptor(headers);
    let exporter = match tls {
        Some(tls) => exporter.with_tls_config(tls).build()?,
        None => exporter.build()?,
    };
    // The batch processor has a bounded queue and a thread of its own: a slow or missing collector costs spans, which
    // are counted, and no time of requests.
    let processor = BatchSpanProcessor::builder(LoggedSpanExporter::new(exporter)).build();
    Ok((builder.with_span_processor(processor).build(), true))
}

fn enabled() -> bool {
    let off = value("OTEL_TRACES_EXPORTER").is_some_and(|value| value.eq_ignore_ascii_case("none"));
    SPANS.has_endpoint() && !is_disabled() && !off
}

/// Counts spans that cannot be exported. Logs the first failure, and the next success.
#[derive(Debug)]
struct LoggedSpanExporter<E> {
    inner: E,
    failing: AtomicBool,
    dropped: AtomicU64,
}

// === impl LoggedSpanExporter ===

impl<E> LoggedSpanExporter<E> {
    fn new(inner: E) -> Self {
        Self { inner, failing: AtomicBool::new(false), dropped: AtomicU64::new(0) }
    }
}

impl<E: trace::SpanExporter> trace::SpanExporter for LoggedSpanExporter<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len() as u64;
        let result = self.inner.export(batch).await;
        match &result {
            Err(error) => {
                self.dropped.fetch_add(spans, Ordering::Relaxed);
                if !self.failing.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%error, "spans are dropped: the collector does not take them");
                }
            }
            Ok(()) => {
                if self.failing.swap(false, Ordering::Relaxed) {
                    let dropped = self.dropped.swap(0, Ordering::Relaxed);
                    tracing::info!(dropped, "the collector takes spans again");
                }
            }
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        let dropped = self.dropped.load(Ordering::Relaxed);
        if dropped > 0 {
            tracing::warn!(dropped, "spans were dropped: the collector did not take them");
        }
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}
