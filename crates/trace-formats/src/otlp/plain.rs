//! Values as plain JSON and as text, for formats that have texts only.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value::Value};
use serde::{Serialize, Serializer};

/// Deeper values are written as `null`. Decoders of OTLP have lower limits.
const MAX_DEPTH: usize = 100;

/// A value at a depth.
struct Plain<'v>(&'v AnyValue, usize);

/// Returns the value as a text: a text as it is, everything else as JSON.
pub(crate) fn to_text(value: &AnyValue) -> String {
    match &value.value {
        None => String::new(),
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::BytesValue(bytes)) => BASE64_STANDARD.encode(bytes),
        Some(_) => serde_json::to_string(&Plain(value, 0)).unwrap_or_default(),
    }
}

impl Serialize for Plain<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(AnyValue { value }, depth) = self;
        let deeper = depth + 1;
        match value {
            None | Some(Value::StringValueStrindex(_)) => serializer.serialize_none(),
            _ if deeper > MAX_DEPTH => serializer.serialize_none(),
            Some(Value::StringValue(text)) => serializer.serialize_str(text),
            Some(Value::BoolValue(value)) => serializer.serialize_bool(*value),
            Some(Value::IntValue(number)) => serializer.serialize_i64(*number),
            Some(Value::DoubleValue(number)) => serializer.serialize_f64(*number),
            Some(Value::ArrayValue(list)) => serializer.collect_seq(list.values.iter().map(|it| Plain(it, deeper))),
            Some(Value::KvlistValue(list)) => serializer.collect_map(
                list.values.iter().map(|entry| (&entry.key, entry.value.as_ref().map(|it| Plain(it, deeper)))),
            ),
            Some(Value::BytesValue(bytes)) => serializer.collect_str(&BASE64_STANDARD.encode(bytes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::{ArrayValue, KeyValue, KeyValueList};

    use super::*;

    fn any(value: Value) -> AnyValue {
        AnyValue { value: Some(value) }
    }

    #[test]
    fn lists_and_maps_are_json() {
        let values = vec![any(Value::IntValue(1)), any(Value::StringValue("a\"".into())), AnyValue::default()];
        let list = any(Value::ArrayValue(ArrayValue { values }));
        assert_eq!(to_text(&list), r#"[1,"a\"",null]"#);
        let entry = KeyValue { key: "k".into(), value: Some(list), key_strindex: 0 };
        let map = any(Value::KvlistValue(KeyValueList { values: vec![entry] }));
        assert_eq!(to_text(&map), r#"{"k":[1,"a\"",null]}"#);
        assert_eq!(to_text(&any(Value::StringValue("as it is".into()))), "as it is");
    }

    #[test]
    fn a_deep_value_ends() {
        let mut value = any(Value::BoolValue(true));
        for _ in 0..5000 {
            value = any(Value::ArrayValue(ArrayValue { values: vec![value] }));
        }
        assert_eq!(to_text(&value), "[".repeat(MAX_DEPTH) + "null" + &"]".repeat(MAX_DEPTH));
        // Dropping it recurses.
        let mut rest = vec![value];
        while let Some(AnyValue { value: Some(Value::ArrayValue(list)) }) = rest.pop() {
            rest.extend(list.values);
        }
    }
}
