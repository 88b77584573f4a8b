//! Simulated latency and faults of a backend: what makes calls worth overlapping in a demonstration, a test or a measurement.
//!
//! [`DelayLayer`] lets each request wait for a place ([`Capacity`]), then for a time drawn from a [`Distribution`], then fails a
//! share of them ([`ErrorRate`]), and hands the rest to the service. One request can change its delay and error rate through W3C baggage,
//! where the settings allow that.
//!
//! # Layout
//!
//! ```text
//! distribution.rs  Distribution: how long a request takes
//! error_rate.rs    ErrorRate: which share of the requests fails
//! capacity.rs      Capacity: how many requests are at work at once
//! settings.rs      DelaySettings
//! overrides.rs     what one request's baggage changes of them
//! layer.rs         DelayLayer
//! wait_span.rs     the span of a wait, marked where it was cut short
//! ```

mod capacity;
mod distribution;
mod error_rate;
mod layer;
mod overrides;
mod settings;
mod wait_span;

pub use self::capacity::{Capacity, InvalidCapacity};
pub use self::distribution::{Distribution, InvalidDistribution, MAX_DELAY};
pub use self::error_rate::{ErrorRate, InvalidErrorRate};
pub use self::layer::{Delay, DelayLayer, ResponseFuture};
pub use self::settings::DelaySettings;

/// How much of a value that somebody sent is shown back to them, in characters.
const SHOWN_CHARS: usize = 64;

/// The part of `given` that an error message shows.
fn shown(given: &str) -> String {
    let mut chars = given.chars();
    let mut text: String = chars.by_ref().take(SHOWN_CHARS).collect();
    if chars.next().is_some() {
        text.push('…');
    }
    text
}
