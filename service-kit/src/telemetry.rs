//! Logs on standard output, and spans to an OTLP collector where one is named.
//!
//! Spans are set by the standard `OTEL_*` environment variables alone; with no endpoint
//! set nothing is exported, and traces have ids all the same: they stand in every log
//! line and reply.

mod export;
mod line;

use std::{io::IsTerminal as _, sync::Once, time::Duration};

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::{
    EnvFilter, Layer as _,
    filter::{FilterExt as _, LevelFilter, filter_fn},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use self::line::{Line, SpanFields};

/// How long a process that ends waits for its last spans to be taken.
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

/// Why telemetry could not be set up: a bad setting.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// A protocol that is not built in.
    #[error("OTEL_EXPORTER_OTLP_PROTOCOL is {0:?}: only \"grpc\" is built in")]
    Protocol(String),
    /// An endpoint without a scheme, or with one that is not built in.
    #[error("{name} is {value:?}: http:// with a host and a port is allowed, such as http://127.0.0.1:4317")]
    Endpoint {
        /// The variable.
        name: &'static str,
        /// What it is set to.
        value: String,
    },
    /// An exporter cannot be made from the environment's settings.
    #[error("the OTEL_EXPORTER_OTLP_* settings make no exporter: {0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
}

/// Running telemetry: keep it to the end, then [`shutdown`](Self::shutdown).
#[derive(Debug)]
pub struct Telemetry {
    provider: SdkTracerProvider,
}

// === impl Telemetry ===

impl Telemetry {
    /// Starts logging and tracing for the whole process, under this service's name
    /// unless `OTEL_SERVICE_NAME` has another. Needs a tokio runtime.
    ///
    /// # Errors
    ///
    /// Where an `OTEL_*` variable is set to what cannot be used.
    pub fn start(service: &'static str, args: &LogArgs) -> Result<Self, TelemetryError> {
        let (provider, exported) = export::tracer_provider(service)?;
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
        // Says the same as our own warning, but again for each batch.
        let once = filter_fn(|metadata| metadata.name() != "BatchSpanProcessor.ExportError");
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
        Ok(Self { provider })
    }

    /// Sends what is still waiting, for at most two seconds, and ends the export.
    pub async fn shutdown(self) {
        // The SDK blocks here until its own thread is done.
        let ended = tokio::task::spawn_blocking(move || self.provider.shutdown_with_timeout(FLUSH_TIMEOUT)).await;
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the last spans were not exported"),
            Err(error) => tracing::error!(%error, "the export of spans panicked at its end"),
        }
    }
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
