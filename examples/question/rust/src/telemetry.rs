//! Spans of `tracing`, exported over OTLP. The environment says where to and under which name: `OTEL_EXPORTER_OTLP_ENDPOINT`,
//! `OTEL_SERVICE_NAME`.

use opentelemetry::{global, trace::TracerProvider as _};
use opentelemetry_http::{HeaderExtractor, HeaderInjector};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter};
use opentelemetry_sdk::{propagation::TraceContextPropagator, trace::SdkTracerProvider};
use tonic::{Request, metadata::MetadataMap};
use tracing::{Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::{filter::LevelFilter, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// Exports all spans from now on, those that are left when the provider is shut down.
///
/// # Errors
///
/// Returns an error if the environment has an invalid endpoint.
pub fn init() -> Result<SdkTracerProvider, ExporterBuildError> {
    let exporter = SpanExporter::builder().with_tonic().build()?;
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).build();
    global::set_text_map_propagator(TraceContextPropagator::new());
    let spans = tracing_opentelemetry::layer().with_tracer(provider.tracer("question"));
    // Below this level the spans are of the libraries.
    tracing_subscriber::registry().with(LevelFilter::INFO).with(spans).init();
    Ok(provider)
}

/// A request that carries the current span to the service that it is for.
pub fn with_trace<T>(message: T) -> Request<T> {
    let mut headers = http::HeaderMap::new();
    let context = Span::current().context();
    global::get_text_map_propagator(|propagator| {
        propagator.inject_context(&context, &mut HeaderInjector(&mut headers));
    });
    let mut request = Request::new(message);
    *request.metadata_mut() = MetadataMap::from_headers(headers);
    request
}

/// The span of a request that a service has received: a child of the span that it carries.
pub fn server_span(request: &http::Request<()>) -> Span {
    let span = info_span!("request", otel.name = request.uri().path().trim_start_matches('/'), otel.kind = "server");
    let parent = global::get_text_map_propagator(|propagator| propagator.extract(&HeaderExtractor(request.headers())));
    // It fails only if nothing records the span.
    let _ = span.set_parent(parent);
    span
}
