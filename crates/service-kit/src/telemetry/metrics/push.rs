//! Metrics to an OTLP collector.

use std::{
    sync::atomic::{AtomicU8, Ordering},
    time::Duration,
};

use opentelemetry_otlp::{MetricExporter, Protocol, WithExportConfig as _, WithTonicConfig as _};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, metrics_service_client::MetricsServiceClient,
};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    metrics::{PeriodicReader, Temporality, data::ResourceMetrics, exporter::PushMetricExporter},
};
use tonic::{Code, service::interceptor::InterceptedService, transport::Channel};

use super::super::{
    collector::{Collector, Headers},
    environment::METRICS,
    error::TelemetryError,
};

/// How long the collector may take to answer whether it accepts metrics.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// Returns a reader that exports every minute, or at `OTEL_METRIC_EXPORT_INTERVAL`, on a thread of its own: a slow or
/// missing collector costs no time of requests, and only detail, because later values include earlier ones. Has to be
/// called in a tokio runtime.
pub(super) fn reader() -> Result<PeriodicReader<LoggedMetricExporter>, TelemetryError> {
    Ok(PeriodicReader::builder(LoggedMetricExporter::new(Collector::of(METRICS)?)?).build())
}

/// Logs the first failure of the exporter, and the next success. Stops exporting to a collector that does not implement
/// metrics.
#[derive(Debug)]
pub(super) struct LoggedMetricExporter {
    inner: MetricExporter,
    /// `None` if the collector's URL is invalid, which the exporter reports.
    probe: Option<MetricsServiceClient<InterceptedService<Channel, Headers>>>,
    state: AtomicU8,
}

/// The last export succeeded.
const WORKING: u8 = 0;
/// The last export failed.
const FAILING: u8 = 1;
/// The collector does not implement metrics.
const UNIMPLEMENTED: u8 = 2;

// === impl LoggedMetricExporter ===

impl LoggedMetricExporter {
    fn new(collector: Collector) -> Result<Self, TelemetryError> {
        let probe = collector.to_endpoint().map(|endpoint| {
            let channel = endpoint.connect_timeout(PROBE_TIMEOUT).timeout(PROBE_TIMEOUT).connect_lazy();
            MetricsServiceClient::with_interceptor(channel, collector.headers.clone())
        });
        let Collector { endpoint, tls, headers } = collector;
        let inner = MetricExporter::builder().with_tonic().with_protocol(Protocol::Grpc);
        let inner = inner.with_endpoint(endpoint).with_interceptor(headers);
        let inner = match tls {
            Some(tls) => inner.with_tls_config(tls).build()?,
            None => inner.build()?,
        };
        Ok(Self { inner, probe, state: AtomicU8::new(WORKING) })
    }

    /// Asks the collector whether it implements metrics, with an empty request: the exporter's error has the status
    /// only as text.
    async fn is_unimplemented(&self) -> bool {
        let Some(mut client) = self.probe.clone() else { return false };
        let reply = client.export(ExportMetricsServiceRequest::default()).await;
        reply.is_err_and(|status| status.code() == Code::Unimplemented)
    }
}

impl PushMetricExporter for LoggedMetricExporter {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        if self.state.load(Ordering::Relaxed) == UNIMPLEMENTED {
            return Ok(());
        }
        let result = self.inner.export(metrics).await;
        match &result {
            Ok(()) => {
                if self.state.swap(WORKING, Ordering::Relaxed) == FAILING {
                    tracing::info!("the collector takes metrics again");
                }
            }
            Err(error) => {
                if self.state.swap(FAILING, Ordering::Relaxed) == WORKING {
                    if self.is_unimplemented().await {
                        self.state.store(UNIMPLEMENTED, Ordering::Relaxed);
                        tracing::info!("the collector does not implement metrics: they are not exported");
                        return Ok(());
                    }
                    tracing::warn!(%error, "metrics are not exported: the collector does not take them");
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

#[cfg(test)]
mod tests {
    use std::{
        fmt::Debug,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use opentelemetry::metrics::MeterProvider as _;
    use opentelemetry_proto::tonic::collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    };
    use opentelemetry_sdk::metrics::SdkMeterProvider;
    use parking_lot::Mutex;
    use tokio::net::TcpListener;
    use tonic::{
        Request, Response, Status,
        transport::{Server, server::TcpIncoming},
    };
    use tracing::{Event, Subscriber, field::Field};
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

    use super::*;

    /// A collector of traces alone, as Jaeger is.
    struct TracesOnly;

    #[tonic::async_trait]
    impl TraceService for TracesOnly {
        async fn export(
            &self,
            _: Request<ExportTraceServiceRequest>,
        ) -> Result<Response<ExportTraceServiceResponse>, Status> {
            Ok(Response::new(ExportTraceServiceResponse::default()))
        }
    }

    /// Collects our own log lines as `LEVEL message`.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<String>>>);

    impl<S: Subscriber> Layer<S> for Lines {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            if event.metadata().target().starts_with("service_kit") {
                event.record(&mut |field: &Field, value: &dyn Debug| {
                    if field.name() == "message" {
                        self.0.lock().push(format!("{} {value:?}", event.metadata().level()));
                    }
                });
            }
        }
    }

    fn at(endpoint: String) -> Collector {
        Collector { endpoint, tls: None, headers: Headers::default() }
    }

    /// Starts a collector of traces alone. Returns its URL and the number of requests that it gets.
    async fn collector() -> (String, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&requests);
        let count = move |request: http::Request<tonic::body::Body>| {
            counted.fetch_add(1, Ordering::Relaxed);
            request
        };
        let server = Server::builder()
            .layer(tower::util::MapRequestLayer::new(count))
            .add_service(TraceServiceServer::new(TracesOnly));
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        (url, requests)
    }

    /// The reader exports on a thread of its own, outside of the runtime.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_last_export_to_a_collector_without_metrics_succeeds() {
        let (collector, requests) = collector().await;
        let reader = PeriodicReader::builder(LoggedMetricExporter::new(at(collector)).unwrap()).build();
        let provider = SdkMeterProvider::builder().with_reader(reader).build();
        provider.meter("test").u64_counter("calls").build().add(1, &[]);
        tokio::task::spawn_blocking(move || provider.shutdown()).await.unwrap().expect("not an error");
        assert_eq!(requests.load(Ordering::Relaxed), 2, "the export, and the question why it failed");
    }

    #[tokio::test]
    async fn a_collector_without_metrics_is_reported_once_and_not_asked_again() {
        let lines = Lines::default();
        let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(lines.clone()));
        let (collector, requests) = collector().await;
        let exporter = LoggedMetricExporter::new(at(collector)).unwrap();
        exporter.export(&ResourceMetrics::default()).await.expect("not an error");
        let asked = requests.load(Ordering::Relaxed);
        assert!(asked > 0, "the collector was asked");
        exporter.export(&ResourceMetrics::default()).await.expect("not an error");
        assert_eq!(requests.load(Ordering::Relaxed), asked, "the collector was asked again");
        assert_eq!(*lines.0.lock(), ["INFO the collector does not implement metrics: they are not exported"]);
    }
}
