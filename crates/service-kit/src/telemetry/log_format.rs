//! The format of log lines: text or JSON, both with the request's trace id.

use std::fmt::{self, Write as _};

use opentelemetry::trace::TraceContextExt as _;
use serde_json::{Map, Value};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    field::RecordFields,
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::Writer,
        time::{FormatTime as _, SystemTime},
    },
    registry::LookupSpan,
};

use crate::settings::LogFormat;

/// Formats events. Spans appear in the trace viewer, not in the log.
pub(super) struct LogFormatter {
    pub(super) service: &'static str,
    pub(super) format: LogFormat,
}

/// Formats no fields of spans: they are not logged.
pub(super) struct NoSpanFields;

struct Ids {
    trace: String,
    span: String,
}

// === impl LogFormatter ===

impl<S, N> FormatEvent<S, N> for LogFormatter
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, N>, writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let span = event.parent().and_then(|id| ctx.span(id)).or_else(|| ctx.lookup_current());
        // The innermost span that is part of a trace. If none are exported, only the request's span is.
        let ids = span.and_then(|span| span.scope().find_map(|span| Ids::of(&span.id())));
        match self.format {
            LogFormat::Text => self.text(writer, event, ids),
            LogFormat::Json => self.json(writer, event, ids),
        }
    }
}

impl LogFormatter {
    fn text(&self, mut writer: Writer<'_>, event: &Event<'_>, ids: Option<Ids>) -> fmt::Result {
        SystemTime.format_time(&mut writer)?;
        let (level, color) = match *event.metadata().level() {
            Level::ERROR => ("ERROR", "31"),
            Level::WARN => (" WARN", "33"),
            Level::INFO => (" INFO", "32"),
            Level::DEBUG => ("DEBUG", "34"),
            Level::TRACE => ("TRACE", "35"),
        };
        if writer.has_ansi_escapes() {
            write!(writer, " \x1b[{color}m{level}\x1b[0m {}:", self.service)?;
        } else {
            write!(writer, " {level} {}:", self.service)?;
        }
        let mut fields = TextFields { message: String::new(), rest: String::new() };
        event.record(&mut fields);
        write!(writer, " {}{}", fields.message, fields.rest)?;
        if let Some(ids) = ids {
            write!(writer, " trace_id={}", ids.trace)?;
        }
        writeln!(writer)
    }

    fn json(&self, mut writer: Writer<'_>, event: &Event<'_>, ids: Option<Ids>) -> fmt::Result {
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let mut line = JsonFields(Map::new());
        event.record(&mut line);
        let mut set = |key: &str, value: &str| line.0.insert(key.to_owned(), Value::from(value));
        set("timestamp", &time);
        set("level", event.metadata().level().as_str());
        set("service", self.service);
        set("target", event.metadata().target());
        if let Some(ids) = ids {
            set("trace_id", &ids.trace);
            set("span_id", &ids.span);
        }
        writeln!(writer, "{}", Value::Object(line.0))
    }
}

// === impl NoSpanFields ===

impl<'a> FormatFields<'a> for NoSpanFields {
    fn format_fields<R: RecordFields>(&self, _: Writer<'a>, _: R) -> fmt::Result {
        Ok(())
    }
}

// === impl Ids ===

impl Ids {
    fn of(span: &tracing::span::Id) -> Option<Self> {
        let context = tracing::dispatcher::get_default(|to| tracing_opentelemetry::get_otel_context(span, to))?;
        let span = context.span();
        let ids = span.span_context();
        ids.is_valid().then(|| Self { trace: ids.trace_id().to_string(), span: ids.span_id().to_string() })
    }
}

struct TextFields {
    message: String,
    rest: String,
}

impl Visit for TextFields {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message.push_str(value);
        } else if value.contains(|c: char| c.is_whitespace() || c.is_control() || c == '"' || c == '=') {
            let _ = write!(self.rest, " {}={value:?}", field.name());
        } else {
            let _ = write!(self.rest, " {}={value}", field.name());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Keeps an event on one line.
        self.record_str(field, &format!("{value:?}").replace('\n', "\\n"));
    }
}

struct JsonFields(Map<String, Value>);

impl JsonFields {
    fn set(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for JsonFields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field, format!("{value:?}"));
    }
}
