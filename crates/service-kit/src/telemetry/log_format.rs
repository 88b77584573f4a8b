//! The format of log lines: text or JSON, both with the request's trace id.

use std::fmt::{self, Write as _};

use opentelemetry::trace::SpanContext;
use rpc_layers::trace::span_context;
use serde_json::{Map, Value};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    span::Id,
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

use super::hidden_chars::{escape, escape_json, is_hidden};
use crate::settings::LogFormat;

/// The name of the field that `tracing` has for the text of an event.
const MESSAGE: &str = "message";

/// Formats events. Spans appear in the trace viewer, not in the log.
pub(super) struct LogFormatter {
    pub(super) service: &'static str,
    pub(super) format: LogFormat,
}

/// Formats no fields of spans: they are not logged.
pub(super) struct NoSpanFields;

/// Writes the message of an event.
struct Message<'a, 'w>(&'a mut Writer<'w>);

/// Writes the other fields of an event, each after a space.
struct Others<'a, 'w>(&'a mut Writer<'w>);

/// Writes what is formatted, with hidden characters written out.
struct Escaped<'a, 'w>(&'a mut Writer<'w>);

struct JsonFields(Map<String, Value>);

// === impl LogFormatter ===

impl<S, N> FormatEvent<S, N> for LogFormatter
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, N>, writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let span = event.parent().and_then(|id| ctx.span(id)).or_else(|| ctx.lookup_current());
        // The innermost span that is part of a trace. If none are exported, only the request's span is.
        let ids = span.and_then(|span| span.scope().find_map(|span| ids_of(&span.id())));
        match self.format {
            LogFormat::Text => self.text(writer, event, ids),
            LogFormat::Json => self.json(writer, event, ids),
        }
    }
}

impl LogFormatter {
    fn text(&self, mut writer: Writer<'_>, event: &Event<'_>, ids: Option<SpanContext>) -> fmt::Result {
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
        writer.write_char(' ')?;
        event.record(&mut Message(&mut writer));
        event.record(&mut Others(&mut writer));
        if let Some(ids) = ids {
            write!(writer, " trace_id={}", ids.trace_id())?;
        }
        writeln!(writer)
    }

    fn json(&self, mut writer: Writer<'_>, event: &Event<'_>, ids: Option<SpanContext>) -> fmt::Result {
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
            set("trace_id", &ids.trace_id().to_string());
            set("span_id", &ids.span_id().to_string());
        }
        writeln!(writer, "{}", escape_json(&Value::Object(line.0).to_string()))
    }
}

// === impl NoSpanFields ===

impl<'a> FormatFields<'a> for NoSpanFields {
    fn format_fields<R: RecordFields>(&self, _: Writer<'a>, _: R) -> fmt::Result {
        Ok(())
    }
}

fn ids_of(span: &Id) -> Option<SpanContext> {
    tracing::dispatcher::get_default(|dispatch| span_context(span, dispatch))
}

// === texts ===

// Writing into the line does not fail: it is in memory.
impl Visit for Message<'_, '_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == MESSAGE {
            let _ = Escaped(self.0).write_str(value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == MESSAGE {
            let _ = write!(Escaped(self.0), "{value:?}");
        }
    }
}

impl Others<'_, '_> {
    /// Writes a value whose text needs no quotes.
    fn plain(&mut self, field: &Field, value: impl fmt::Display) {
        if field.name() == MESSAGE {
            return;
        }
        let _ = write!(self.0, " {}={value}", field.name());
    }
}

impl Visit for Others<'_, '_> {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.plain(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.plain(field, itoa::Buffer::new().format(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.plain(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if is_plain(value) {
            self.plain(field, value);
        } else {
            // `Debug` writes a few of the hidden characters as they are.
            let quoted = format!("{value:?}");
            self.plain(field, escape(&quoted));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() != MESSAGE {
            self.record_str(field, &format!("{value:?}"));
        }
    }
}

/// Returns whether the value of a field needs no quotes.
fn is_plain(value: &str) -> bool {
    let needs_quotes = |c: char| c.is_whitespace() || is_hidden(c) || c == '"' || c == '=';
    // Most are of these alone, which takes no look at each character's properties.
    let is_usual = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'=';
    value.bytes().all(is_usual) || !value.contains(needs_quotes)
}

impl fmt::Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write_str(&escape(text))
    }
}

// === impl JsonFields ===

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

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use super::*;

    /// What was logged.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(text);
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Returns the line of an event with a method that a caller has named.
    fn line(format: LogFormat, method: &str) -> String {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .fmt_fields(NoSpanFields)
            .event_format(LogFormatter { service: "gateway", format })
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(method, error = %method, cause = ?method, "of {method}");
        });
        String::from_utf8(log.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn nothing_that_a_caller_sends_is_hidden_in_a_line_or_begins_another() {
        let method = "x\u{9b}2J\u{202e}\u{200b}\r\n\u{2028}\u{feff}\u{e0041}\u{1b}[31m";
        for format in [LogFormat::Text, LogFormat::Json] {
            let line = line(format, method);
            let content = line.strip_suffix('\n').unwrap();
            assert!(!content.contains(is_hidden), "{line:?}");
        }
        let json: Value = serde_json::from_str(&line(LogFormat::Json, method)).unwrap();
        assert_eq!(json["method"], method, "JSON decodes to what was sent");
        assert!(line(LogFormat::Text, "GetUser").contains(" of GetUser method=GetUser error=GetUser "));
    }
    #[test]
    fn values_have_quotes_only_where_they_need_them() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .fmt_fields(NoSpanFields)
            .event_format(LogFormatter { service: "gateway", format: LogFormat::Text })
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(
                yes = true,
                less = -7,
                more = u64::MAX,
                half = 0.5,
                word = "a-b",
                two = "a b",
                is = "a=b",
                "text"
            );
            tracing::info!(quoted = "\"", empty = "", list = ?["x"], "käse {}", "日本");
            tracing::info!(message = 5, other = 6);
        });
        let lines = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        let text = |line: &str| line.split_once(" INFO gateway: ").unwrap().1.to_owned();
        assert_eq!(
            lines.lines().map(text).collect::<Vec<_>>(),
            [
                r#"text yes=true less=-7 more=18446744073709551615 half=0.5 word=a-b two="a b" is="a=b""#,
                r#"käse 日本 quoted="\"" empty= list="[\"x\"]""#,
                "5 other=6",
            ]
        );
    }
}
