//! Where spans go.

use std::{
    env,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{self, BatchSpanProcessor, SdkTracerProvider, SpanData},
};

use super::TelemetryError;

/// Where the collector is: for all signals, and for spans alone.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];

/// Makes trace ids, and exports spans where the environment names a collector: says whether it does.
pub(super) fn tracer_provider(service: &'static str) -> Result<(SdkTracerProvider, bool), TelemetryError> {
    let mut resource = Resource::builder();
    let named = env::var("OTEL_RESOURCE_ATTRIBUTES").is_ok_and(|attributes| attributes.contains("service.name="));
    if !named && !is_set("OTEL_SERVICE_NAME") {
        resource = resource.with_service_name(service);
    }
    let builder = SdkTracerProvider::builder().with_resource(resource.build());
    if !enabled() {
        return Ok((builder.build(), false));
    }
    let protocol = env::var("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL").or_else(|_| env::var("OTEL_EXPORTER_OTLP_PROTOCOL"));
    match protocol.as_deref() {
        Ok("" | "grpc") | Err(_) => {}
        Ok(other) => return Err(TelemetryError::Protocol(other.to_owned())),
    }
    for name in ENDPOINTS {
        if let Ok(value) = env::var(name)
            && !value.is_empty()
            && !value.starts_with("http://")
        {
            return Err(TelemetryError::Endpoint { name, value });
        }
    }
    let exporter = SpanExporter::builder().with_tonic().with_protocol(opentelemetry_otlp::Protocol::Grpc).build()?;
    // The batch processor has a bounded queue and a thread of its own: a collector that
    // is slow or gone costs spans, which it counts, and no request any time.
    let processor = BatchSpanProcessor::builder(WarnOnce::new(exporter)).build();
    Ok((builder.with_span_processor(processor).build(), true))
}

fn enabled() -> bool {
    let off = |name: &str, value: &str| env::var(name).is_ok_and(|set| set.eq_ignore_ascii_case(value));
    ENDPOINTS.into_iter().any(is_set) && !off("OTEL_SDK_DISABLED", "true") && !off("OTEL_TRACES_EXPORTER", "none")
}

fn is_set(name: &str) -> bool {
    // The specification has an empty variable count as unset.
    env::var_os(name).is_some_and(|value| !value.is_empty())
}

/// Counts spans that could not be exported, and says so once until it works again.
#[derive(Debug)]
struct WarnOnce<E> {
    inner: E,
    failing: AtomicBool,
    dropped: AtomicU64,
}

impl<E> WarnOnce<E> {
    fn new(inner: E) -> Self {
        Self { inner, failing: AtomicBool::new(false), dropped: AtomicU64::new(0) }
    }
}

impl<E: trace::SpanExporter> trace::SpanExporter for WarnOnce<E> {
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
