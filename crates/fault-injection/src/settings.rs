//! What a backend simulates.

use super::{Capacity, Distribution, ErrorRate};

/// What [`DelayLayer`](super::DelayLayer) simulates.
#[derive(Clone, Debug, PartialEq)]
pub struct DelaySettings {
    /// The service's name in override keys: `user` for `user.delay`.
    pub service: &'static str,
    /// How long each request takes on top of the service's own time.
    pub delay: Distribution,
    /// Which share of the requests is answered UNAVAILABLE.
    pub error_rate: ErrorRate,
    /// How many requests are at work at once; `None` for any number.
    pub capacity: Option<Capacity>,
    /// Whether a request may change `delay` and `error_rate` for itself through W3C baggage.
    pub allow_overrides: bool,
}
