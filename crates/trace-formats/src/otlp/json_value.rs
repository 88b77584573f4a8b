//! Values of OTLP JSON, as freely as protobuf's mapping to JSON lets programs write them: `null` for a default, numbers as
//! strings, enums by name, ids in hexadecimal (as OTLP wants) or base64 (as protobuf does).

use std::fmt;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList, any_value::Value},
    trace::v1::{span::SpanKind, status::StatusCode},
};
use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, Unexpected, Visitor},
};

use crate::id;

/// Reads a value or `null`, which is the default.
pub(crate) fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// Bytes of an id.
#[derive(Default)]
pub(super) struct Id(pub(super) Vec<u8>);

/// A 64-bit time, as a number or a string.
#[derive(Default)]
pub(super) struct Nanos(pub(super) u64);

/// A kind, as a number or a name.
#[derive(Default)]
pub(super) struct Kind(pub(super) i32);

/// A status code, as a number or a name.
#[derive(Default)]
pub(super) struct Code(pub(super) i32);

/// A list of attributes.
#[derive(Default)]
pub(super) struct Attributes(pub(super) Vec<KeyValue>);

/// A value of an attribute.
#[derive(Default)]
pub(crate) struct Any(pub(crate) AnyValue);

/// A signed number, as a number or a string.
struct Int(i64);

/// A number, as a number or a string, of which some are words.
struct Double(f64);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Id;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an id in hexadecimal digits")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Id, E> {
                id::from_otlp_json(text).map(Id).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
            }
        }
        from.deserialize_str(Text)
    }
}

/// Visits a number, which may be a string.
macro_rules! number {
    ($type:ty, $number:ty, $expected:literal, $from_float:expr) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                struct Number;
                impl Visitor<'_> for Number {
                    type Value = $number;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expected)
                    }

                    fn visit_u64<E: Error>(self, number: u64) -> Result<$number, E> {
                        number.try_into().map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
                    }

                    fn visit_i64<E: Error>(self, number: i64) -> Result<$number, E> {
                        number.try_into().map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
                    }

                    fn visit_f64<E: Error>(self, number: f64) -> Result<$number, E> {
                        let whole: Option<$number> = $from_float(number);
                        whole.ok_or_else(|| E::invalid_value(Unexpected::Float(number), &self))
                    }

                    fn visit_str<E: Error>(self, text: &str) -> Result<$number, E> {
                        text.parse().map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
                    }
                }
                from.deserialize_any(Number).map(Self)
            }
        }
    };
}

number!(Nanos, u64, "a whole number of nanoseconds since 1970", whole);
number!(Int, i64, "a whole number of 64 bits", |number| whole(number).and_then(|whole| i64::try_from(whole).ok()));

/// Returns a number that some programs write with an exponent.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is in range")]
fn whole(number: f64) -> Option<u64> {
    ((0.0..1.8e19).contains(&number) && number.fract() == 0.0).then_some(number as u64)
}

impl<'de> Deserialize<'de> for Double {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Number;
        impl Visitor<'_> for Number {
            type Value = Double;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, `NaN`, `Infinity` or `-Infinity`")
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Double, E> {
                Ok(Double(number))
            }

            #[allow(clippy::cast_precision_loss, reason = "JSON does not tell whole numbers from others")]
            fn visit_u64<E: Error>(self, number: u64) -> Result<Double, E> {
                Ok(Double(number as f64))
            }

            #[allow(clippy::cast_precision_loss, reason = "JSON does not tell whole numbers from others")]
            fn visit_i64<E: Error>(self, number: i64) -> Result<Double, E> {
                Ok(Double(number as f64))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Double, E> {
                text.parse().map(Double).map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
            }
        }
        from.deserialize_any(Number)
    }
}

/// Visits an enum, as a number or as a name of protobuf.
macro_rules! named {
    ($type:ty, $enum:ty, $expected:literal) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                struct Named;
                impl Visitor<'_> for Named {
                    type Value = i32;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expected)
                    }

                    fn visit_u64<E: Error>(self, number: u64) -> Result<i32, E> {
                        let known = i32::try_from(number).ok().filter(|number| <$enum>::try_from(*number).is_ok());
                        known.ok_or_else(|| E::invalid_value(Unexpected::Unsigned(number), &self))
                    }

                    fn visit_str<E: Error>(self, name: &str) -> Result<i32, E> {
                        let number = <$enum>::from_str_name(name).map(i32::from);
                        number.ok_or_else(|| E::invalid_value(Unexpected::Str(name), &self))
                    }
                }
                from.deserialize_any(Named).map(Self)
            }
        }
    };
}

named!(Kind, SpanKind, "a kind from 0 to 5, or its name, such as `SPAN_KIND_SERVER`");
named!(Code, StatusCode, "a code from 0 to 2, or its name, such as `STATUS_CODE_ERROR`");

impl<'de> Deserialize<'de> for Attributes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Entry {
            #[serde(default, deserialize_with = "or_default")]
            key: String,
            #[serde(default)]
            value: Option<Any>,
        }
        let entries = Vec::<Entry>::deserialize(from)?.into_iter();
        let attribute = |Entry { key, value }| KeyValue { key, value: value.map(|value| value.0), key_strindex: 0 };
        Ok(Self(entries.map(attribute).collect()))
    }
}

/// As deep as the parser lets documents be.
impl<'de> Deserialize<'de> for Any {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Values {
            #[serde(default, deserialize_with = "or_default")]
            values: Vec<Any>,
        }
        #[derive(Deserialize)]
        struct Entries {
            #[serde(default, deserialize_with = "or_default")]
            values: Attributes,
        }
        struct OneOf;
        impl<'de> Visitor<'de> for OneOf {
            type Value = Option<Value>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with a value, such as `{\"stringValue\": \"a\"}`")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Option<Value>, A::Error> {
                let mut value = None;
                while let Some(key) = members.next_key::<String>()? {
                    let found = match key.as_str() {
                        "stringValue" | "string_value" => members.next_value::<Option<_>>()?.map(Value::StringValue),
                        "boolValue" | "bool_value" => members.next_value::<Option<_>>()?.map(Value::BoolValue),
                        "intValue" | "int_value" => {
                            members.next_value::<Option<Int>>()?.map(|number| Value::IntValue(number.0))
                        }
                        "doubleValue" | "double_value" => {
                            members.next_value::<Option<Double>>()?.map(|number| Value::DoubleValue(number.0))
                        }
                        "arrayValue" | "array_value" => members.next_value::<Option<Values>>()?.map(|list| {
                            let values = list.values.into_iter().map(|value| value.0).collect();
                            Value::ArrayValue(ArrayValue { values })
                        }),
                        "kvlistValue" | "kvlist_value" => members
                            .next_value::<Option<Entries>>()?
                            .map(|list| Value::KvlistValue(KeyValueList { values: list.values.0 })),
                        "bytesValue" | "bytes_value" => {
                            let text: Option<String> = members.next_value()?;
                            let bytes = text.map(|text| {
                                let expected = &"bytes in base64";
                                let invalid = |_| Error::invalid_value(Unexpected::Str(&text), expected);
                                BASE64_STANDARD.decode(&text).map_err(invalid)
                            });
                            bytes.transpose()?.map(Value::BytesValue)
                        }
                        _ => {
                            members.next_value::<IgnoredAny>()?;
                            None
                        }
                    };
                    value = found.or(value);
                }
                Ok(value)
            }
        }
        let value = from.deserialize_map(OneOf)?;
        Ok(Self(AnyValue { value }))
    }
}
