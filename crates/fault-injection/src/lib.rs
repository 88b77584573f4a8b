//! Simulated latency and faults of a tonic service, for demonstrations, tests and measurements.
//!
//! [`DelayLayer`] lets each request wait for a permit ([`Capacity`]), then for a time drawn from a [`Distribution`];
//! fails a share of the requests ([`ErrorRate`]), and passes the others to the service. If the settings allow it, a
//! request can change its own delay and error rate through W3C baggage.
//!
//! # Layout
//!
//! ```text
//! distribution.rs  Distribution: how long a request takes
//! error_rate.rs    ErrorRate: the share of the requests that fails
//! capacity.rs      Capacity: how many requests are served at a time
//! settings.rs      DelaySettings
//! overrides.rs     what the baggage of a request changes
//! layer.rs         DelayLayer
//! wait_span.rs     the span of a wait, marked if it was cut short
//! excerpt.rs       the part of an invalid value that errors repeat
//! ```

mod capacity;
mod distribution;
mod error_rate;
mod excerpt;
mod layer;
mod overrides;
mod settings;
mod wait_span;

pub use self::{
    capacity::{Capacity, InvalidCapacity},
    distribution::{Distribution, InvalidDistribution, MAX_DELAY},
    error_rate::{ErrorRate, InvalidErrorRate},
    layer::{Delay, DelayFuture, DelayLayer},
    settings::DelaySettings,
};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
