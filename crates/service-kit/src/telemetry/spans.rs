//! Spans: recorded by a layer of the subscriber, exported to an OTLP collector.
//!
//! `tracing-opentelemetry` and OpenTelemetry's SDK do the same with forty allocations for a span, which is most of what a
//! request costs that is exported. Here a span is encoded as it is recorded.
//!
//! # Layout
//!
//! * `layer`: records spans; `fields` reads their fields, and `otlp` writes them as protobuf.
//! * `queue`: what waits for the export, which is bounded.
//! * `sender`: sends it; `request` is what is around it.

mod fields;
mod layer;
mod otlp;
mod queue;
mod request;
mod sender;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use opentelemetry_sdk::{Resource, trace::Config};
use tokio::{task::JoinHandle, time::timeout};
use tracing::Metadata;

pub(super) use self::layer::SpanLayer;
use self::{
    layer::Limits,
    queue::{Queue, QueueSettings},
    request::Envelope,
    sender::Sender,
};
use super::{
    collector::Collector,
    environment::{SPANS, is_disabled, number, value},
    error::TelemetryError,
};

/// The name of the scope of all spans.
const SCOPE: &str = "fanout";

/// How long an export may take with all its attempts, unless a variable says otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The export of spans.
#[derive(Debug)]
pub(super) struct Spans {
    queue: Arc<Queue>,
    /// `None` if nothing is exported.
    export: Option<JoinHandle<()>>,
}

/// Counts spans that cannot be exported. Logs the first failure, and the next success.
#[derive(Debug, Default)]
struct Losses {
    failing: bool,
    lost: u64,
    queue_was_full: bool,
}

// === impl Spans ===

impl Spans {
    /// Starts the export of spans, if the environment names a collector. Has to be called in a tokio runtime.
    ///
    /// # Errors
    ///
    /// Returns an error if a variable has an invalid value.
    pub(super) fn start(resource: &Resource) -> Result<Self, TelemetryError> {
        let spans = Self::none();
        if !enabled() {
            return Ok(spans);
        }
        let timeout = number("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT").or_else(|| number("OTEL_EXPORTER_OTLP_TIMEOUT"));
        let timeout = timeout.map_or(TIMEOUT, Duration::from_millis);
        check_compression()?;
        let sender = Sender::new(Collector::of(SPANS)?, Envelope::new(resource, SCOPE), timeout)?;
        let export = tokio::spawn(export(Arc::clone(&spans.queue), sender));
        Ok(Self { export: Some(export), ..spans })
    }

    /// Exports nothing.
    pub(super) fn none() -> Self {
        Self { queue: Arc::new(Queue::new(queue_settings())), export: None }
    }

    /// Returns whether spans are exported.
    pub(super) fn are_exported(&self) -> bool {
        self.export.is_some()
    }

    /// Returns the layer that records the spans that `exported` names, or `None` if nothing is exported.
    pub(super) fn layer(&self, exported: fn(&Metadata<'_>) -> bool) -> Option<SpanLayer> {
        if !self.are_exported() {
            return None;
        }
        let Config { sampler, span_limits, .. } = Config::default();
        let limits = Limits { attributes: span_limits.max_attributes_per_span, links: span_limits.max_links_per_span };
        Some(SpanLayer::new(Arc::clone(&self.queue), sampler, limits, exported))
    }

    /// Exports the last spans for at most this long, and ends the export.
    pub(super) async fn shutdown(self, within: Duration) {
        self.queue.close();
        let Some(export) = self.export else { return };
        let stop = export.abort_handle();
        match timeout(within, export).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => tracing::error!("the export of spans panicked"),
            Err(_) => {
                stop.abort();
                let (waiting, dropped) = (self.queue.len(), self.queue.lost());
                tracing::warn!(waiting, dropped, "the last spans were not exported in time");
            }
        }
    }
}

/// Exports spans until the queue is closed, and then what is left.
async fn export(queue: Arc<Queue>, mut sender: Sender) {
    let mut losses = Losses::default();
    loop {
        let goes_on = queue.wait().await;
        // Not what comes meanwhile: it may become a whole batch.
        let mut left = queue.len();
        while left > 0
            && let Some(batch) = queue.take()
        {
            // Now: sending may take long.
            losses.note_queue(queue.lost());
            left = left.saturating_sub(batch.spans);
            let spans = batch.spans;
            losses.note(sender.send(batch).await, spans);
        }
        if !goes_on {
            return losses.report(queue.lost());
        }
    }
}

/// Returns an error if a compression is asked for.
fn check_compression() -> Result<(), TelemetryError> {
    for name in ["OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"] {
        match value(name) {
            None => {}
            Some(value) if value == "none" => return Ok(()),
            Some(value) => return Err(TelemetryError::Setting { name, value, allowed: "only \"none\" is built in" }),
        }
    }
    Ok(())
}

fn enabled() -> bool {
    let off = value("OTEL_TRACES_EXPORTER").is_some_and(|value| value.eq_ignore_ascii_case("none"));
    SPANS.has_endpoint() && !is_disabled() && !off
}

/// Returns the settings of the specification's batch span processor.
fn queue_settings() -> QueueSettings {
    let size = |name, default| number(name).and_then(|size| usize::try_from(size).ok()).unwrap_or(default);
    let max_spans = size("OTEL_BSP_MAX_QUEUE_SIZE", 2048).max(1);
    let max_batch = size("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512).clamp(1, max_spans);
    let delay = Duration::from_millis(number("OTEL_BSP_SCHEDULE_DELAY").unwrap_or(5_000));
    QueueSettings { max_spans, max_batch, delay }
}

// === impl Losses ===

impl Losses {
    fn note(&mut self, result: Result<(), sender::SendError>, spans: usize) {
        match result {
            Err(error) => {
                self.lost += error.lost(spans);
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!(%error, "spans are dropped: the collector does not take them");
                }
            }
            Ok(()) => {
                if std::mem::take(&mut self.failing) {
                    let dropped = std::mem::take(&mut self.lost);
                    tracing::info!(dropped, "the collector takes spans again");
                }
            }
        }
    }

    fn note_queue(&mut self, lost: u64) {
        if lost > 0 && !std::mem::replace(&mut self.queue_was_full, true) {
            tracing::warn!("spans are dropped: more end than the collector takes, and their queue is full");
        }
    }

    fn report(&self, lost_by_queue: u64) {
        if lost_by_queue > 0 {
            tracing::warn!(dropped = lost_by_queue, "spans were dropped: their queue was full");
        }
        if self.lost > 0 {
            tracing::warn!(dropped = self.lost, "spans were dropped: the collector did not take them");
        }
    }
}
