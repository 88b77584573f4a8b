//! Reads the fields of a `tracing` span as a span of OTLP has them, as `tracing-opentelemetry` does: `otel.name`,
//! `otel.kind`, `otel.status_code` and `otel.status_description` are its own, all others are attributes.

use std::{error::Error, fmt};

use tracing::field::{Field, Visit};

use super::otlp::{Kind, StatusCode, Value, put_attribute, put_formatted_attribute, put_name};

/// The fields of a span that were recorded together.
#[derive(Debug, Default)]
pub(super) struct Fields {
    /// The name and the attributes, encoded as fields of a `Span`.
    pub(super) encoded: Vec<u8>,
    /// Whether it has a name of its own.
    pub(super) is_named: bool,
    pub(super) kind: Option<Kind>,
    pub(super) status: StatusCode,
    pub(super) description: String,
    /// How many attributes there are, and were left out.
    pub(super) attributes: u32,
    pub(super) dropped: u32,
    /// How many there may be.
    pub(super) max_attributes: u32,
}

// === impl Fields ===

impl Fields {
    /// Adds fields that were recorded later.
    pub(super) fn add(&mut self, later: &mut Self) {
        self.encoded.extend_from_slice(&later.encoded);
        self.is_named |= later.is_named;
        self.kind = later.kind.or(self.kind);
        self.attributes += later.attributes;
        self.dropped += later.dropped;
        // As the SDK has it: success is final, and an error is not taken back, but may get a description.
        if (later.status, &later.description) > (self.status, &self.description) {
            self.status = later.status;
            self.description = std::mem::take(&mut later.description);
        }
    }

    /// Returns whether there is room for one more attribute, which is counted.
    fn has_room(&mut self) -> bool {
        let has_room = self.attributes < self.max_attributes;
        *(if has_room { &mut self.attributes } else { &mut self.dropped }) += 1;
        has_room
    }

    fn put(&mut self, key: &str, value: &Value<'_>) {
        if self.has_room() {
            put_attribute(&mut self.encoded, key, value);
        }
    }

    /// Reads a field that is no attribute. Returns whether it was one.
    fn read_own(&mut self, name: &str, value: &dyn fmt::Display) -> bool {
        match name {
            "otel.name" => {
                put_name(&mut self.encoded, &value.to_string());
                self.is_named = true;
            }
            "otel.kind" => self.kind = kind(&value.to_string()).or(self.kind),
            "otel.status_code" => self.status = status(&value.to_string()),
            "otel.status_description" => (self.status, self.description) = (StatusCode::Error, value.to_string()),
            _ => return false,
        }
        true
    }
}

// Of these types, `tracing` has more than OTLP; the rest become texts.
impl Visit for Fields {
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field.name(), &Value::Bool(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field.name(), &Value::Int(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        // OTLP's integers are signed: it becomes a text, as it would by its formatting, which takes longer.
        self.put(field.name(), &Value::Text(itoa::Buffer::new().format(value)));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field.name(), &Value::Double(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            // Without a text on the way: most spans have these.
            "otel.name" => {
                put_name(&mut self.encoded, value);
                self.is_named = true;
            }
            "otel.kind" => self.kind = kind(value).or(self.kind),
            name if name.starts_with("otel.") && self.read_own(name, &value) => {}
            name => self.put(name, &Value::Text(value)),
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let (message, mut chain, mut next) = (value.to_string(), Vec::new(), value.source());
        while let Some(error) = next {
            chain.push(error.to_string());
            next = error.source();
        }
        self.put("exception.message", &Value::Text(&message));
        self.put("exception.stacktrace", &Value::Texts(&chain));
        self.put(field.name(), &Value::Text(&message));
        self.put(&format!("{}.chain", field.name()), &Value::Texts(&chain));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let is_own = field.name().starts_with("otel.") && self.read_own(field.name(), &format_args!("{value:?}"));
        if !is_own && self.has_room() {
            put_formatted_attribute(&mut self.encoded, field.name(), format_args!("{value:?}"));
        }
    }
}

fn kind(text: &str) -> Option<Kind> {
    const KINDS: [(&str, Kind); 5] = [
        ("client", Kind::Client),
        ("server", Kind::Server),
        ("internal", Kind::Internal),
        ("producer", Kind::Producer),
        ("consumer", Kind::Consumer),
    ];
    KINDS.iter().find(|(name, _)| text.eq_ignore_ascii_case(name)).map(|(_, kind)| *kind)
}

fn status(text: &str) -> StatusCode {
    if text.eq_ignore_ascii_case("error") {
        StatusCode::Error
    } else if text.eq_ignore_ascii_case("ok") {
        StatusCode::Ok
    } else {
        StatusCode::Unset
    }
}
