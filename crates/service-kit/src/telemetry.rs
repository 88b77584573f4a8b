//! Logs on standard output; spans to an OTLP collector where one is named; metrics to a
//! collector, to be scraped by Prometheus, or both.
//!
//! Spans and metrics are set by the standard `OTEL_*` environment variables alone; with none
//! set nothing is exported, and traces have ids all the same: they stand in every log line
//! and reply.
//!
//! # Layout
//!
//! * `environment`: the variables that both kinds share.
//! * `export`: where spans go.
//! * `metrics`: where metrics go, and how they are aggregated.
//! * `log_format`: how a log line looks.

mod environment;
mod export;
mod log_format;
mod metrics;

use std::{
    io::{self, IsTerminal as _},
    net::SocketAddr,
    sync::Once,
    thread,
    time::Duration,
};

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::{error::OTelSdkResult, trace::SdkTracerProvider};
use tokio::{sync::oneshot, time::timeout};
use tracing_subscriber::{
    EnvFilter, Layer as _,
    filter::{FilterExt as _, LevelFilter, filter_fn},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

pub use self::metrics::{MetricsSettings, PrometheusAddress, meter};
use self::{
    log_format::{Line, SpanFields},
    metrics::Metrics,
};
use crate::settings::EX_USAGE;

/// How long a process that ends waits for its last spans and metrics to be taken.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// A second start in one process, as tests do, keeps the first.
static START: Once = Once::new();

/// What is logged, and how.
#[derive(Clone, Debug, clap::Args)]
pub struct LogArgs {
    /// What is logged: a level (error, warn, info, debug, trace) or directives such as
    /// `info,h2=debug`
    #[arg(long, default_value = "info", value_parser = parse_filter, value_name = "FILTER")]
    pub log: String,
    /// How a log line looks
    #[arg(long, default_value = "text", value_name = "FORMAT")]
    pub log_format: LogFormat,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For eyes: time, level, message, fields
    #[default]
    Text,
    /// For machines: an object per line
    Json,
}

/// Why telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// A variable that is set to what cannot be used.
    #[error("{name} is {value:?}: {allowed}")]
    Setting {
        /// The variable.
        name: &'static str,
        /// What it is set to.
        value: String,
        /// What it may be.
        allowed: &'static str,
    },
    /// An exporter cannot be made from the environment's settings.
    #[error("the OTEL_EXPORTER_OTLP_* settings make no exporter: {0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    /// Metrics cannot be served there, such as on a port in use.
    #[error("cannot listen on {address} for metrics: {source}; choose another with OTEL_EXPORTER_PROMETHEUS_PORT")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
}

/// Running telemetry: keep it to the end, then [`shutdown`](Self::shutdown).
#[derive(Debug)]
pub struct Telemetry {
    spans: SdkTracerProvider,
    metrics: Metrics,
}

// === impl TelemetryError ===

impl TelemetryError {
    /// What the process ends with: 64 where a setting is bad, 1 where the machine does not give what it asks for.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Setting { .. } | Self::Exporter(_) => EX_USAGE,
            Self::Listen { .. } => 1,
        }
    }
}

// === impl Telemetry ===

impl Telemetry {
    /// Starts logging, tracing and metrics for the whole process, under this service's name
    /// unless `OTEL_SERVICE_NAME` has another. Needs a tokio runtime.
    ///
    /// Instruments are to be made after this, by `opentelemetry::global::meter("fanout")`: one
    /// that was made before counts for nobody.
    ///
    /// # Errors
    ///
    /// Where an `OTEL_*` variable is set to what cannot be used.
    pub fn start(service: &'static str, args: &LogArgs) -> Result<Self, TelemetryError> {
        let resource = environment::resource(service);
        let (provider, exported) = export::tracer_provider(resource.clone())?;
        let metrics = Metrics::start(&MetricsSettings::from_env()?, resource)?;
        start_log(service, args, &provider, exported);
        if let Some(address) = metrics.address() {
            tracing::info!(url = %format_args!("http://{address}/metrics"), "metrics can be scraped");
        }
        Ok(Self { spans: provider, metrics })
    }

    /// Sends what is still waiting, for at most two seconds, and ends the export.
    pub async fn shutdown(self) {
        let Self { spans, metrics } = self;
        tokio::join!(
            end("spans", move || spans.shutdown_with_timeout(FLUSH_TIMEOUT)),
            end("metrics", move || metrics.shutdown(FLUSH_TIMEOUT)),
        );
    }
}

/// Ends an export, which blocks until the SDK's own thread is done.
///
/// On a thread that nobody waits for: the SDK takes no timeout for metrics, and a runtime that ends waits for its own.
async fn end(what: &'static str, shutdown: impl FnOnce() -> OTelSdkResult + Send + 'static) {
    let (tell, told) = oneshot::channel();
    let thread = thread::Builder::new().name(format!("end-{what}")).spawn(move || tell.send(shutdown()));
    if let Err(error) = thread {
        tracing::error!(%error, "no thread to export the last {what} on");
        return;
    }
    match timeout(FLUSH_TIMEOUT, told).await {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(error))) => tracing::warn!(%error, "the last {what} were not exported"),
        Ok(Err(_)) => tracing::error!("the export of {what} panicked at its end"),
        Err(_) => tracing::warn!("the last {what} were not exported in time"),
    }
}

/// Starts the log, and the spans that its lines have their trace ids from.
fn start_log(service: &'static str, args: &LogArgs, provider: &SdkTracerProvider, exported: bool) {
    let spans = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("fanout"))
        // Of use to the collector are the service's own words, not places in its code.
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_level(false)
        .with_tracked_inactivity(false)
        .with_context_activation(false)
        .with_filter(filter_fn(move |metadata| is_for_export(metadata) && (exported || is_request(metadata))));
    // They say the same as our own warnings, but again for each batch.
    let once = filter_fn(|metadata| {
        !matches!(metadata.name(), "BatchSpanProcessor.ExportError" | "PeriodicReader.ExportError")
    });
    // A line needs no span but for its ids.
    let with_ids = filter_fn(move |metadata| metadata.is_event() || exported || is_request(metadata));
    let logs = tracing_subscriber::fmt::layer()
        .with_ansi(std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()))
        .fmt_fields(SpanFields)
        .event_format(Line { service, format: args.log_format })
        // A reader of standard output that is gone must not end the service.
        .log_internal_errors(false)
        .with_filter(EnvFilter::new(&args.log).and(once).and(with_ids));
    START.call_once(|| tracing_subscriber::registry().with(spans).with(logs).init());
}

/// Spans that somebody meant to be seen: those of the transport are for its debugging, and
/// would trace the export itself. Events are log lines; copied into spans they would cost
/// each request.
fn is_for_export(metadata: &tracing::Metadata<'_>) -> bool {
    metadata.is_span() && *metadata.level() <= tracing::Level::INFO
}

/// The spans that give a request its trace id, which stands in its log lines, its reply and the calls made for it. Where
/// none is exported, the others would cost memory and time for nobody.
fn is_request(metadata: &tracing::Metadata<'_>) -> bool {
    metadata.name() == "server"
}

fn parse_filter(text: &str) -> Result<String, String> {
    let wrong = |error: &dyn std::fmt::Display| {
        format!(
            "{error}: a level (error, warn, info, debug, trace, off) or directives such as info,h2=debug are allowed"
        )
    };
    // A directive such as `loud` would be taken for a target and silence everything.
    let known = |part: &str| part.contains('=') || part.contains('[') || part.parse::<LevelFilter>().is_ok();
    if let Some(part) = text.split(',').find(|part| !known(part.trim())) {
        return Err(wrong(&format_args!("{part:?} is neither a level nor a directive")));
    }
    text.parse::<EnvFilter>().map_err(|error| wrong(&error))?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_would_silence_everything_is_refused() {
        assert!(parse_filter("info").is_ok());
        assert!(parse_filter("warn,h2=debug").is_ok());
        assert!(parse_filter("loud").unwrap_err().contains("\"loud\""));
        assert!(parse_filter("h2=loud").unwrap_err().contains("are allowed"));
    }
}
