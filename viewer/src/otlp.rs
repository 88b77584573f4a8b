//! Receives OTLP.
//!
//! # Layout
//!
//! * [`http`]: OTLP over HTTP; [`grpc`]: over gRPC. Both decode with what follows, and put into the store.
//! * [`batch`]: a request's bytes as chunks of spans; [`fields`]: the fields of a message; [`limits`]: how large its
//!   parts may be.
//! * [`signal`]: traces, metrics and logs, and their responses; [`refusal`]: why a request is refused.
//! * [`receiver`]: what both share.
//!
//! Source: <https://opentelemetry.io/docs/specs/otlp/>.

pub(crate) mod batch;
mod fields;
pub(crate) mod grpc;
pub(crate) mod http;
pub(crate) mod limits;
pub(crate) mod receiver;
pub(crate) mod refusal;
pub(crate) mod signal;
