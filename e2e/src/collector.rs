//! An OTLP collector that keeps the spans and the names of the metrics that it receives.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use opentelemetry_proto::tonic::{
    collector::{
        metrics::v1::{
            ExportMetricsServiceRequest, ExportMetricsServiceResponse,
            metrics_service_server::{MetricsService, MetricsServiceServer},
        },
        trace::v1::{
            ExportTraceServiceRequest, ExportTraceServiceResponse,
            trace_service_server::{TraceService, TraceServiceServer},
        },
    },
    common::v1::{AnyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, Span, span::SpanKind},
};
use overlap::hex::encode as hex;
use tokio::{net::TcpListener, sync::Notify};
use tonic::{
    Request, Response, Status,
    metadata::MetadataMap,
    transport::{Certificate, Identity, ServerTlsConfig, server::TcpIncoming},
};

use crate::{TIMEOUT, wait::within};

/// A collector on a free port.
pub struct Collector {
    /// Its URL.
    pub endpoint: String,
    received: Arc<Received>,
}

#[derive(Default)]
struct Received {
    spans: Mutex<Vec<RecordedSpan>>,
    /// The same as they came.
    messages: Mutex<Vec<ResourceSpans>>,
    /// The service and the name of each metric.
    metrics: Mutex<BTreeSet<(String, String)>>,
    /// What was exported, and the `authorization` that it came with.
    authorizations: Mutex<BTreeSet<(&'static str, String)>>,
    changed: Notify,
}

/// A span that a service exported.
#[derive(Clone, Debug)]
pub struct RecordedSpan {
    /// The exporting service.
    pub service: String,
    /// The span's name.
    pub name: String,
    /// Server, client or internal.
    pub kind: SpanKind,
    /// The trace's id in hexadecimal.
    pub trace: String,
    /// The span's id in hexadecimal.
    pub id: String,
    /// The parent's id in hexadecimal; empty for a root.
    pub parent: String,
    /// The start in nanoseconds of Unix time.
    pub start: u64,
    /// The end in nanoseconds of Unix time.
    pub end: u64,
    /// Whether the span's status is an error.
    pub failed: bool,
    /// The values as text.
    pub attributes: BTreeMap<String, String>,
    /// The ids of the spans that it links to.
    pub links: Vec<String>,
}

/// The exporting service, the name and the kind of a span.
pub type ExpectedSpan = (&'static str, &'static str, SpanKind);

struct Export(Arc<Received>);

// === impl Collector ===

impl Collector {
    /// Starts a collector of traces and metrics.
    pub async fn start() -> Self {
        Self::start_with(true, None).await
    }

    /// Starts a collector with this certificate, for "localhost", and its key. It asks clients for a certificate of this
    /// authority. All are in PEM format.
    pub async fn start_with_tls(certificate: &str, key: &str, client_authority: &str) -> Self {
        let identity = Identity::from_pem(certificate, key);
        let tls = ServerTlsConfig::new().identity(identity).client_ca_root(Certificate::from_pem(client_authority));
        Self::start_with(true, Some(tls)).await
    }

    /// Starts a collector of traces alone, such as Jaeger.
    pub async fn start_without_metrics() -> Self {
        Self::start_with(false, None).await
    }

    async fn start_with(metrics: bool, tls: Option<ServerTlsConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let received = Arc::new(Received::default());
        let server = tonic::transport::Server::builder();
        let (endpoint, mut server) = match tls {
            Some(tls) => (format!("https://localhost:{}", address.port()), server.tls_config(tls).unwrap()),
            None => (format!("http://{address}"), server),
        };
        let server = server
            .add_service(TraceServiceServer::new(Export(Arc::clone(&received))))
            .add_optional_service(metrics.then(|| MetricsServiceServer::new(Export(Arc::clone(&received)))));
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        Self { endpoint, received }
    }

    /// Returns the environment with which a process exports its spans here, soon after they end.
    pub fn env(&self) -> [(&str, &str); 2] {
        [("OTEL_EXPORTER_OTLP_ENDPOINT", &self.endpoint), ("OTEL_BSP_SCHEDULE_DELAY", "50")]
    }

    /// Returns the names of the metrics that this service has exported so far.
    pub fn metrics(&self, service: &str) -> Vec<String> {
        let metrics = self.received.metrics.lock().unwrap();
        metrics.iter().filter(|(of, _)| of == service).map(|(_, name)| name.clone()).collect()
    }

    /// Waits until both spans and metrics have been exported, and returns the `authorization` that each came with.
    pub async fn authorizations(&self) -> BTreeSet<(&'static str, String)> {
        let both = async {
            loop {
                let changed = self.received.changed.notified();
                let found = self.received.authorizations.lock().unwrap().clone();
                if found.iter().map(|(exported, _)| exported).collect::<BTreeSet<_>>().len() == 2 {
                    return found;
                }
                changed.await;
            }
        };
        within("an export of spans and metrics", both).await
    }

    /// Waits until the trace has each of these spans, as often as it is named, and returns all spans of the trace.
    pub async fn trace(&self, id: &str, expected: &[ExpectedSpan]) -> Vec<RecordedSpan> {
        let found = async {
            loop {
                let changed = self.received.changed.notified();
                let spans = self.spans(id);
                if missing(&spans, expected).is_empty() {
                    return spans;
                }
                changed.await;
            }
        };
        let found = tokio::time::timeout(TIMEOUT, found).await;
        found.unwrap_or_else(|_| {
            let spans = self.spans(id);
            panic!("trace {id} has no {:#?} beside {spans:#?}", missing(&spans, expected))
        })
    }

    /// Returns all spans so far, of all traces, as they came.
    pub fn messages(&self) -> Vec<ResourceSpans> {
        self.received.messages.lock().unwrap().clone()
    }

    /// Returns the spans of the trace that have arrived so far.
    pub fn spans(&self, trace: &str) -> Vec<RecordedSpan> {
        self.received.spans.lock().unwrap().iter().filter(|span| span.trace == trace).cloned().collect()
    }
}

// === impl Received ===

impl Received {
    fn note_authorization(&self, exported: &'static str, metadata: &MetadataMap) {
        let value = metadata.get("authorization").map_or("", |value| value.to_str().unwrap());
        self.authorizations.lock().unwrap().insert((exported, value.to_owned()));
    }
}

// === impl Export ===

#[tonic::async_trait]
impl TraceService for Export {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.note_authorization("spans", request.metadata());
        let resource_spans = request.into_inner().resource_spans;
        // Before the spans, which others wait for.
        self.0.messages.lock().unwrap().extend_from_slice(&resource_spans);
        for resource in resource_spans {
            let service = service(resource.resource);
            let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            self.0.spans.lock().unwrap().extend(spans.map(|span| RecordedSpan::new(&service, span)));
        }
        self.0.changed.notify_waiters();
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Export {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.0.note_authorization("metrics", request.metadata());
        for resource in request.into_inner().resource_metrics {
            let service = service(resource.resource);
            let metrics = resource.scope_metrics.into_iter().flat_map(|scope| scope.metrics);
            self.0.metrics.lock().unwrap().extend(metrics.map(|metric| (service.clone(), metric.name)));
        }
        self.0.changed.notify_waiters();
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

/// Returns the expected spans that are not there, or not as often as expected.
fn missing(spans: &[RecordedSpan], expected: &[ExpectedSpan]) -> Vec<ExpectedSpan> {
    let mut there: Vec<_> = spans.iter().map(|span| (span.service.as_str(), span.name.as_str(), span.kind)).collect();
    let mut missing = expected.to_vec();
    missing.retain(|expected| there.iter().position(|span| span == expected).map(|at| there.swap_remove(at)).is_none());
    missing
}

/// Returns the name of the service that the telemetry is from.
fn service(resource: Option<Resource>) -> String {
    let attributes = resource.unwrap_or_default().attributes;
    let service = attributes.iter().find(|attribute| attribute.key == "service.name");
    text(service.and_then(|service| service.value.as_ref()))
}

// === impl RecordedSpan ===

impl RecordedSpan {
    fn new(service: &str, span: Span) -> Self {
        let attributes =
            span.attributes.iter().map(|attribute| (attribute.key.clone(), text(attribute.value.as_ref())));
        Self {
            service: service.to_owned(),
            attributes: attributes.collect(),
            links: span.links.iter().map(|link| hex(&link.span_id)).collect(),
            kind: span.kind(),
            name: span.name,
            trace: hex(&span.trace_id),
            id: hex(&span.span_id),
            parent: hex(&span.parent_span_id),
            start: span.start_time_unix_nano,
            end: span.end_time_unix_nano,
            failed: span.status.is_some_and(|status| status.code == 2),
        }
    }

    /// Returns whether both spans were open at the same moment.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// Returns the value of an attribute; empty if there is none.
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

fn text(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        Some(Value::BoolValue(yes)) => yes.to_string(),
        other => format!("{other:?}"),
    }
}
