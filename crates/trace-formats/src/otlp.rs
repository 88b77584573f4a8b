//! OTLP, as JSON and as protobuf.

pub(crate) mod json;
pub(crate) mod json_value;
pub(crate) mod plain;
pub(crate) mod protobuf;
pub(crate) mod to_json;
