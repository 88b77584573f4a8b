//! Attributes as tags, which have a type of five.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::otlp::{json_value::Any, plain::to_text, to_json};

/// JavaScript is exact up to here; larger numbers are texts.
const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// A tag as it is read.
#[derive(Deserialize)]
pub(super) struct ReadTag {
    key: String,
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    value: Json,
    /// See [`WrittenTag::otlp`].
    #[serde(default)]
    otlp: Option<Any>,
}

/// A tag as it is written.
#[derive(Serialize)]
pub(super) struct WrittenTag<'a> {
    pub(super) key: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    value: Json,
    /// A value of a type that Jaeger does not have, as OTLP JSON. Jaeger ignores it.
    #[serde(skip_serializing_if = "Option::is_none")]
    otlp: Option<to_json::Json<'a, AnyValue>>,
}

// === impl ReadTag ===

impl ReadTag {
    /// Returns the attribute. A value that is not of its type keeps the type that it has in JSON.
    pub(super) fn into_attribute(self) -> KeyValue {
        let Self { key, kind, value, otlp } = self;
        let value = match (otlp, kind.as_deref(), value) {
            (Some(Any(value)), ..) => return KeyValue { key, value: Some(value), key_strindex: 0 },
            (_, Some("int64"), Json::String(text)) => text.parse().map_or(Value::StringValue(text), Value::IntValue),
            (_, Some("float64"), Json::String(text)) => {
                text.parse().map_or(Value::StringValue(text), Value::DoubleValue)
            }
            (_, Some("bool"), Json::String(text)) => text.parse().map_or(Value::StringValue(text), Value::BoolValue),
            (_, Some("binary"), Json::String(text)) => {
                BASE64_STANDARD.decode(&text).map_or(Value::StringValue(text), Value::BytesValue)
            }
            (_, Some("float64"), Json::Number(number)) => Value::DoubleValue(number.as_f64().unwrap_or(f64::NAN)),
            (_, _, Json::Bool(value)) => Value::BoolValue(value),
            (_, _, Json::Number(number)) => match number.as_i64() {
                Some(number) => Value::IntValue(number),
                None => Value::DoubleValue(number.as_f64().unwrap_or(f64::NAN)),
            },
            (_, _, Json::String(text)) => Value::StringValue(text),
            (_, _, Json::Null) => return KeyValue { key, value: None, key_strindex: 0 },
            (_, _, other) => Value::StringValue(other.to_string()),
        };
        KeyValue { key, value: Some(AnyValue { value: Some(value) }), key_strindex: 0 }
    }
}

// === impl WrittenTag ===

impl<'a> WrittenTag<'a> {
    /// Creates a tag with a text.
    pub(super) fn text(key: &'a str, text: &str) -> Self {
        Self { key, kind: "string", value: text.into(), otlp: None }
    }

    /// Creates a tag with a value of JSON's own.
    pub(super) fn number(key: &'a str, number: u32) -> Self {
        Self { key, kind: "int64", value: number.into(), otlp: None }
    }

    /// Creates a tag that says yes.
    pub(super) fn yes(key: &'a str) -> Self {
        Self { key, kind: "bool", value: true.into(), otlp: None }
    }

    /// Creates the tag of an attribute.
    pub(super) fn of(attribute: &'a KeyValue) -> Self {
        let KeyValue { key, value, .. } = attribute;
        let (kind, value, otlp) = match value {
            None => ("string", Json::Null, None),
            Some(any) => match &any.value {
                Some(Value::StringValue(text)) => ("string", text.as_str().into(), None),
                Some(Value::BoolValue(value)) => ("bool", (*value).into(), None),
                Some(Value::IntValue(number)) if number.unsigned_abs() > MAX_SAFE_INTEGER => {
                    ("int64", number.to_string().into(), None)
                }
                Some(Value::IntValue(number)) => ("int64", (*number).into(), None),
                Some(Value::DoubleValue(number)) if number.is_finite() => ("float64", json!(number), None),
                Some(Value::DoubleValue(number)) => ("float64", number.to_string().into(), None),
                Some(Value::BytesValue(bytes)) => ("binary", BASE64_STANDARD.encode(bytes).into(), None),
                Some(Value::ArrayValue(_) | Value::KvlistValue(_) | Value::StringValueStrindex(_)) | None => {
                    ("string", to_text(any).into(), Some(to_json::Json(any)))
                }
            },
        };
        Self { key, kind, value, otlp }
    }
}
