//! Simulated latency and faults of a tonic service, for demonstrations, tests and measurements.
//!
//! [`DelayLayer`] lets each request wait for a permit ([`Capacity`]), then for a time drawn from a [`Distribution`];
//! fails a share of the requests ([`ErrorRate`]), and passes the others to the service. If the settings allow it, a
//! request can change its own delay and error rate through W3C baggage; [`check_overrides`] checks such a request before
//! it reaches the services, and [`OVERRIDE_KEYS`] are the keys that it may have.
//!
//! # Layout
//!
//! ```text
//! distribution.rs     Distribution: how long a request takes
//! error_rate.rs       ErrorRate: the share of the requests that fails
//! capacity.rs         Capacity: how many requests are served at a time
//! settings.rs         DelaySettings
//! baggage.rs          the overrides in a request's baggage, and errors in them
//! overrides.rs        what a request changes of a service's settings
//! check_overrides.rs  whether the services of a request's overrides exist
//! layer.rs            DelayLayer
//! wait_span.rs        the span of a wait, marked if it was cut short
//! excerpt.rs          the part of an invalid value that errors repeat
//! ```

mod baggage;
mod capacity;
mod check_overrides;
mod distribution;
mod error_rate;
mod excerpt;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod layer;
mod overrides;
mod settings;
mod wait_span;

pub use self::{
    baggage::InvalidBaggage,
    capacity::{Capacity, InvalidCapacity},
    check_overrides::{OVERRIDE_KEYS, check_overrides},
    distribution::{Distribution, InvalidDistribution, MAX_DELAY},
    error_rate::{ErrorRate, InvalidErrorRate},
    layer::{Delay, DelayFuture, DelayLayer},
    settings::DelaySettings,
};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
