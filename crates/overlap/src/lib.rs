#![doc = include_str!("../README.md")]
//!
//! # Layout
//!
//! From what goes in to what comes out:
//!
//! * [`span`]: ids and [`Span`], the part of an OpenTelemetry span that is read here.
//! * [`trace`]: [`Trace`], the spans of one trace as a sound forest, with the [`Problem`]s that were repaired.
//! * [`text`]: findings in plain English.

pub mod span;
pub mod text;
pub mod trace;

pub use crate::{
    span::{Link, Span, SpanId, SpanKind, Text, TraceId, Value},
    trace::{Problem, ProblemKind, SpanIndex, Trace, split},
};
