#![doc = include_str!("../README.md")]
//!
//! # Layout
//!
//! From what goes in to what comes out:
//!
//! * [`span`]: ids and [`Span`], the part of an OpenTelemetry span that is read here; [`hex`]: how ids are written.
//! * [`trace`]: [`Trace`], the spans of one trace as a sound forest, with the [`Problem`]s that were repaired.
//! * `call`: which spans are calls, and what identifies one; `closeness`: which times count as the same.
//! * [`evidence`]: what many traces have shown about pairs of calls; `forget`: what makes room when it is full.
//! * [`analysis`]: [`Analysis`], the verdict on one trace.
//! * [`operations`]: [`Operations`], the verdict on many: which operation would gain most.
//! * [`text`]: findings in plain English.

pub mod analysis;
mod call;
mod closeness;
pub mod evidence;
mod forget;
pub mod hex;
pub mod operations;
pub mod span;
pub mod text;
pub mod trace;

pub use crate::{
    analysis::{Analysis, Certainty, FanOut, Overlap, Reason, Repeated, Segment, Sequence},
    evidence::Evidence,
    operations::{Finding, Operation, Operations, Percentiles},
    span::{Link, Span, SpanId, SpanKind, Text, TraceId, Value},
    trace::{Problem, ProblemKind, SpanIndex, Trace, split},
};
