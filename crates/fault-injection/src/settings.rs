//! What a service simulates.

use crate::{capacity::Capacity, distribution::Distribution, error_rate::ErrorRate};

/// What a [`DelayLayer`](crate::DelayLayer) simulates.
#[derive(Clone, Debug, PartialEq)]
pub struct DelaySettings {
    /// The service's name in the keys of overrides: `user` for `user.delay`.
    pub service: &'static str,
    /// How long each request takes in addition to the service's own time.
    pub delay: Distribution,
    /// The share of the requests that fails with UNAVAILABLE.
    pub error_rate: ErrorRate,
    /// How many requests are handled at a time. `None` for no limit.
    pub capacity: Option<Capacity>,
    /// Whether a request may change its own `delay` and `error_rate` through W3C baggage.
    pub allow_overrides: bool,
}
