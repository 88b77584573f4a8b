//! Logs on standard output; spans to an OTLP collector; metrics to a collector, to Prometheus, or to both.
//!
//! Spans and metrics are configured by the standard `OTEL_*` environment variables alone. Without them nothing is
//! exported, but traces still have ids, which stand in log lines and replies.
//!
//! # Layout
//!
//! * `spans`: how spans are recorded, and where they go.
//! * `filter`: what is logged and recorded.
//! * `metrics`: where metrics go, and how they are aggregated.
//! * `log_format`: the format of log lines, with `hidden_chars` written out; `log_writer`: the thread that writes them.
//! * `collector`: how an OTLP collector is reached: TLS, and headers.
//! * `environment`: the variables that spans and metrics share.
//! * `error`: [`TelemetryError`].

mod collector;
mod environment;
mod error;
mod filter;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod hidden_chars;
mod log_format;
mod log_writer;
mod metrics;
mod spans;

use std::{
    io::{self, IsTerminal as _},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use opentelemetry::metrics::Meter;
use opentelemetry_sdk::error::OTelSdkResult;
use rpc_layers::trace::HeadSampler;
use tokio::{sync::oneshot, time::timeout};
use tracing::{Event, Subscriber};
use tracing_subscriber::{
    Layer,
    filter::LevelFilter,
    layer::{Context, SubscriberExt as _},
    util::SubscriberInitExt as _,
};

pub use rpc_layers::trace::EndGuard;

pub use self::{
    error::TelemetryError,
    metrics::{MetricsSettings, PrometheusAddress},
};
use self::{
    filter::{Filter, is_for_export},
    log_format::{LogFormatter, NoSpanFields},
    log_writer::LogWriter,
    metrics::Metrics,
    spans::Spans,
};
use crate::{settings::LogArgs, workers::Workers};

/// How long the end of a process waits for its last spans and metrics to be exported.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// A second start in one process, as in tests, keeps the first log.
static START: AtomicBool = AtomicBool::new(false);

/// Running telemetry. Keep it to the end of the process, then [`shutdown`](Self::shutdown).
#[derive(Debug)]
pub struct Telemetry {
    spans: Spans,
    metrics: Metrics,
    /// `None` if this process had a log already.
    log: Option<LogWriter>,
}

// === impl Telemetry ===

impl Telemetry {
    /// Starts logging, tracing and metrics for the whole process, under the name of this service unless
    /// `OTEL_SERVICE_NAME` has another. The metrics are also those of the workers' runtimes. Has to be called in a tokio runtime.
    ///
    /// # Errors
    ///
    /// Returns an error if an `OTEL_*` variable has an invalid value, or the address for Prometheus cannot be bound.
    pub fn start(service: &'static str, args: &LogArgs, workers: &Workers) -> Result<Self, TelemetryError> {
        let resource = environment::resource(service);
        let spans = Spans::start(&resource)?;
        let metrics = Metrics::start(&MetricsSettings::from_env()?, resource, workers)?;
        let log = start_log(service, args, &spans).map_err(TelemetryError::Log)?;
        if let Some(address) = metrics.address() {
            tracing::info!(url = %format_args!("http://{address}/metrics"), "metrics can be scraped");
        }
        Ok(Self { spans, metrics, log })
    }

    /// Starts logging alone: nothing is exported, whatever the environment says.
    ///
    /// # Errors
    ///
    /// Returns an error if the log cannot be started.
    pub fn start_log(service: &'static str, args: &LogArgs) -> Result<Self, TelemetryError> {
        let (spans, metrics) = (Spans::none(), Metrics::none());
        let log = start_log(service, args, &spans).map_err(TelemetryError::Log)?;
        Ok(Self { spans, metrics, log })
    }

    /// Returns the meter that creates the instruments of the process, or `None` if metrics are not exported.
    pub fn meter(&self) -> Option<Meter> {
        self.metrics.meter()
    }

    /// Exports the last spans and metrics for at most two seconds, and ends the export. A failure is logged. Then writes
    /// the last log lines, for as long.
    pub async fn shutdown(self) {
        let Self { spans, metrics, log } = self;
        tokio::join!(spans.shutdown(FLUSH_TIMEOUT), end("metrics", move || metrics.shutdown(FLUSH_TIMEOUT)),);
        if let Some(log) = log {
            // A thread of its own, because nothing may read standard output.
            let (send, flushed) = oneshot::channel();
            thread::spawn(move || {
                log.flush_all();
                send.send(())
            });
            let _ = timeout(FLUSH_TIMEOUT, flushed).await;
        }
    }
}

/// Ends an export, which blocks until the SDK's own thread is done.
///
/// Runs on a detached thread, because the SDK has no timeout for metrics.
async fn end(what: &'static str, shutdown: impl FnOnce() -> OTelSdkResult + Send + 'static) {
    let (send, result) = oneshot::channel();
    let thread = thread::Builder::new().name(format!("end-{what}")).spawn(move || send.send(shutdown()));
    if let Err(error) = thread {
        tracing::error!(%error, "cannot start a thread to export the last {what}");
        return;
    }
    match timeout(FLUSH_TIMEOUT, result).await {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(error))) => tracing::warn!(%error, "the last {what} were not exported"),
        Ok(Err(_)) => tracing::error!("the export of {what} panicked at its end"),
        Err(_) => tracing::warn!("the last {what} were not exported in time"),
    }
}

/// Starts the log, and the spans whose trace ids its lines have. Returns `None` if there is a log already.
fn start_log(service: &'static str, args: &LogArgs, spans: &Spans) -> io::Result<Option<LogWriter>> {
    if START.swap(true, Ordering::Relaxed) {
        return Ok(None);
    }
    let writer = LogWriter::start(io::stdout())?;
    let exported = spans.are_exported();
    let sampler = HeadSampler::new(opentelemetry_sdk::trace::Config::default().sampler);
    let sampler = if exported { sampler } else { sampler.without_recording() };
    let logs = tracing_subscriber::fmt::layer()
        .with_writer(writer.clone())
        .with_ansi(wants_colour(io::stdout().is_terminal(), |name| std::env::var(name).ok()))
        .fmt_fields(NoSpanFields)
        .event_format(LogFormatter { service, format: args.log_format })
        // A closed standard output must not end the service.
        .log_internal_errors(false);
    tracing_subscriber::registry()
        .with(sampler.max_level_hint(LevelFilter::INFO))
        .with(EventsOnly(logs))
        .with(spans.layer(is_for_export))
        .with(Filter::new(&args.log, exported))
        .init();
    Ok(Some(writer))
}

/// Returns whether log lines have colours: on a terminal, or if `CLICOLOR_FORCE` says that a terminal is behind the pipe,
/// but never if `NO_COLOR` is set.
fn wants_colour(is_terminal: bool, variable: impl Fn(&str) -> Option<String>) -> bool {
    let is_set = |name| variable(name).is_some_and(|value| !value.is_empty());
    let is_forced = variable("CLICOLOR_FORCE").is_some_and(|value| !value.is_empty() && value != "0");
    !is_set("NO_COLOR") && (is_terminal || is_forced)
}

/// A layer that is told of events, and not of the spans that it would keep fields of.
struct EventsOnly<L>(L);

impl<S: Subscriber, L: Layer<S>> Layer<S> for EventsOnly<L> {
    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        self.0.on_event(event, ctx);
    }
}

#[cfg(test)]
mod tests {
    use super::wants_colour;

    #[test]
    fn colours_are_for_terminals_also_behind_a_pipe() {
        let with = |set: &'static [(&str, &str)]| {
            move |name: &str| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        assert!(wants_colour(true, with(&[])));
        assert!(!wants_colour(false, with(&[("CLICOLOR_FORCE", "0")])));
        assert!(wants_colour(false, with(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "")])));
        assert!(!wants_colour(true, with(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")])));
    }
}
