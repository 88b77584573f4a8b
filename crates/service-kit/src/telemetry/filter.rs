//! What is logged and recorded: one decision for the whole subscriber.

use rpc_layers::{
    identity::AUDIT_TARGET,
    trace::{SERVER_SPAN, UNRECORDED_SPAN},
};
use tracing::{
    Level, Metadata, Subscriber,
    span::{Attributes, Id, Record},
    subscriber::Interest,
};
use tracing_subscriber::{EnvFilter, Layer, filter::LevelFilter, layer::Context};

/// Leaves out what is neither logged nor exported.
///
/// It is a filter of the whole subscriber, and not of single layers: those look a span up whenever it is entered or left,
/// to see whether they enabled it.
#[derive(Debug)]
pub(super) struct Filter {
    log: EnvFilter,
    /// Whether the log depends on spans, such as with `[fan_out]=debug`, as far as they are recorded: else it need not hear of
    /// them.
    follows_spans: bool,
    /// Whether spans are exported.
    exported: bool,
}

// === impl Filter ===

impl Filter {
    /// Logs what these directives name.
    pub(super) fn new(directives: &str, exported: bool) -> Self {
        Self { log: EnvFilter::new(directives), follows_spans: directives.contains('['), exported }
    }

    /// Returns whether something is wanted, or `None` if that is for the log to say.
    fn decide(&self, metadata: &Metadata<'_>) -> Option<bool> {
        if metadata.is_span() {
            if has_ids(metadata) {
                return Some(true);
            }
            // If nothing is exported, other spans than those of requests are for nothing.
            if !self.exported {
                return Some(false);
            }
            return is_for_export(metadata).then_some(true);
        }
        // These repeat our own warnings, for each batch or connection.
        let is_of_h2 = *metadata.level() == Level::WARN && metadata.target().starts_with("h2::");
        if is_of_h2 || metadata.name() == "PeriodicReader.ExportError" {
            return Some(false);
        }
        // The audit log has a flag of its own.
        (metadata.target() == AUDIT_TARGET).then_some(true)
    }
}

impl<S: Subscriber> Layer<S> for Filter {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        // Always, because it remembers the spans that its directives name.
        let of_log = Layer::<S>::register_callsite(&self.log, metadata);
        match self.decide(metadata) {
            Some(true) => Interest::always(),
            Some(false) => Interest::never(),
            None => of_log,
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>, ctx: Context<'_, S>) -> bool {
        self.decide(metadata).unwrap_or_else(|| self.log.enabled(metadata, ctx))
    }

    /// Without a hint, each event of the transport would be looked at, whatever the level.
    fn max_level_hint(&self) -> Option<LevelFilter> {
        self.log.max_level_hint().map(|of_log| of_log.max(LevelFilter::INFO))
    }

    fn on_new_span(&self, attrs: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        if self.follows_spans {
            self.log.on_new_span(attrs, id, ctx);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, ctx: Context<'_, S>) {
        if self.follows_spans {
            self.log.on_record(id, values, ctx);
        }
    }

    fn on_enter(&self, id: &Id, ctx: Context<'_, S>) {
        if self.follows_spans {
            self.log.on_enter(id, ctx);
        }
    }

    fn on_exit(&self, id: &Id, ctx: Context<'_, S>) {
        if self.follows_spans {
            self.log.on_exit(id, ctx);
        }
    }

    fn on_close(&self, id: Id, ctx: Context<'_, S>) {
        if self.follows_spans {
            self.log.on_close(id, ctx);
        }
    }
}

/// Returns whether a span may be exported: at level INFO or above. Spans of the transport are for its debugging, and
/// would trace the export itself. Events are log lines; copies in spans would cost every request.
pub(super) fn is_for_export(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && *metadata.level() <= Level::INFO && metadata.name() != UNRECORDED_SPAN
}

/// Returns whether this is the span of a request, which has ids whether or not it is recorded.
fn has_ids(metadata: &Metadata<'_>) -> bool {
    [SERVER_SPAN, UNRECORDED_SPAN].contains(&metadata.name())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use opentelemetry_sdk::trace::Sampler;
    use rpc_layers::trace::HeadSampler;
    use tracing::{Event, field::Empty};
    use tracing_subscriber::{layer::SubscriberExt as _, registry::Registry};

    use super::*;

    /// Collects what reaches the layers below a filter.
    #[derive(Clone, Default)]
    struct Seen(Arc<Mutex<Vec<&'static str>>>);

    impl Layer<Registry> for Seen {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, Registry>) {
            self.0.lock().unwrap().push(event.metadata().target());
        }

        fn on_new_span(&self, attrs: &Attributes<'_>, _: &Id, _: Context<'_, Registry>) {
            self.0.lock().unwrap().push(attrs.metadata().name());
        }
    }

    /// Returns which of the same spans and events reach the layers, and the most verbose level that is looked at.
    fn seen(directives: &str, exported: bool) -> (Vec<&'static str>, Option<LevelFilter>) {
        let seen = Seen::default();
        let sampler = HeadSampler::new(Box::new(Sampler::AlwaysOn)).max_level_hint(LevelFilter::INFO);
        let subscriber = tracing_subscriber::registry()
            .with(seen.clone())
            .with(sampler)
            .with(None::<LevelFilter>)
            .with(Filter::new(directives, exported));
        let level = subscriber.max_level_hint();
        tracing::subscriber::with_default(subscriber, || {
            let request = tracing::info_span!("server");
            let _entered = request.enter();
            let fan_out = tracing::info_span!("fan_out", width = 2_u64, late = Empty);
            fan_out.record("late", true);
            fan_out.in_scope(|| tracing::debug!(target: "inside", "detail"));
            drop(tracing::debug_span!("transport"));
            tracing::info!(target: "line", "line");
            tracing::debug!(target: "detail", "detail");
            tracing::warn!(target: "h2::proto", "again");
            tracing::warn!(name: "PeriodicReader.ExportError", target: "metrics", "again");
            tracing::info!(target: AUDIT_TARGET, "who");
        });
        let seen = std::mem::take(&mut *seen.0.lock().unwrap());
        (seen, level)
    }

    #[test]
    fn spans_are_for_the_export_and_events_for_the_log() {
        let (all, level) = seen("info", true);
        assert_eq!(all, ["server", "fan_out", "line", AUDIT_TARGET]);
        assert_eq!(level, Some(LevelFilter::INFO), "no event of the transport is looked at");
        assert_eq!(seen("off", true), (vec!["server", "fan_out", AUDIT_TARGET], Some(LevelFilter::INFO)));
        assert_eq!(seen("info", false).0, ["server", "line", AUDIT_TARGET]);
        assert_eq!(seen("warn,detail=debug", false).0, ["server", "detail", AUDIT_TARGET]);
    }

    #[test]
    fn a_line_may_depend_on_the_span_that_it_is_in() {
        for directives in ["[fan_out]=debug", "[{width=2}]=debug", "[fan_out{late=true}]=debug"] {
            let (all, _) = seen(&format!("info,{directives}"), true);
            assert_eq!(all, ["server", "fan_out", "inside", "line", AUDIT_TARGET], "{directives}");
        }
        assert!(!seen("info,[{width=3}]=debug", true).0.contains(&"inside"));
    }
}
