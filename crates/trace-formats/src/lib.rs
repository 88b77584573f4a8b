//! Traces in the formats in which they are kept and passed on: OTLP (JSON and protobuf), Jaeger JSON and Zipkin JSON.
//!
//! [`decode`] finds out which one an input is, and returns OTLP's own messages, of which every other format holds a
//! part. [`encode`] writes them as OTLP or Jaeger JSON. [`to_overlap`] hands them to the analysis.
//!
//! Inputs are not trusted: what cannot be read is a [`Problem`] with its place, the rest is read, and everything is
//! bounded by [`Limits`].
//!
//! # Layout
//!
//! * [`decode`]: from bytes to messages, and which format they are; `gzip`: compressed inputs.
//! * [`encode`]: from messages to bytes.
//! * `otlp`, `jaeger`, `zipkin`: one format each.
//! * `source`: places in a JSON text; `sink`, `items`: collect spans within [`Limits`]; `id`, `json_types`: ids and times.
//! * [`to_overlap`]: from messages to what the analysis reads.

mod decode;
pub mod encode;
mod gzip;
mod id;
mod items;
mod jaeger;
mod json_types;
mod limits;
mod otlp;
mod problem;
mod sink;
mod source;
mod to_overlap;
mod zipkin;

pub use opentelemetry_proto::tonic::trace::v1::ResourceSpans;

pub use self::{
    decode::{DecodeError, Decoded, Format, decode},
    limits::Limits,
    problem::{Position, Problem},
    to_overlap::to_overlap,
};
