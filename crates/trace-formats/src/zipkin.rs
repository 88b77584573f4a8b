//! Zipkin JSON, version 2: what its API takes and replies.
//!
//! Mapped as by OpenTelemetry's specification (["OpenTelemetry to Zipkin
//! Transformation"](https://opentelemetry.io/docs/specs/otel/trace/sdk_exporters/zipkin/)).

pub(crate) mod decode;
mod shared;
mod span;
