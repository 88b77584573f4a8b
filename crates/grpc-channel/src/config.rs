//! How a channel balances, retries, bounds and rejects calls.

use std::time::Duration;

use tower::BoxError;

pub use crate::policy::hedge::HedgeAfter;

/// Decides whether the bytes of a unary reply are a message at all.
///
/// A reply that fails it ends as [`Cause::Malformed`](crate::Cause::Malformed) and counts against its endpoint.
pub type ReplyCheck = fn(&[u8]) -> Result<(), BoxError>;

/// The settings of a [`Channel`](crate::Channel). [`Config::default`] gives the values that the fields name.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// How often names are resolved again: 5 s.
    pub resolve_every: Duration,
    /// How long connecting to an endpoint may take: 2 s.
    pub connect_timeout: Duration,
    /// How often a connection is pinged: 5 s. Servers that enforce gRPC's default take a ping every 5 minutes only.
    pub keepalive: Duration,
    /// How long an endpoint may take to answer a ping before its connection counts as lost: 2 s.
    pub keepalive_timeout: Duration,
    /// The most connections to one endpoint, opened as calls need them: 16, each with up to 1,000 calls.
    pub max_connections: usize,
    /// The most calls in flight, waiting ones included: 16,384. More are rejected with `RESOURCE_EXHAUSTED`.
    pub max_in_flight: usize,
    /// How often a failed call is sent again: 2. 0 turns retries off.
    pub retries: u32,
    /// Retries as a share of the calls that succeeded: 0.2.
    pub retry_budget: f32,
    /// Retries per second that are allowed besides: 10.
    pub retry_floor: u32,
    /// When a late call is sent a second time: never.
    pub hedge: HedgeAfter,
    /// Hedges as a share of all calls: 0.05, and two a second besides.
    pub hedge_budget: f32,
    /// How many calls in a row have to fail before the circuit breaker opens: 50.
    pub breaker_failures: usize,
    /// How long an open circuit breaker rejects calls before it lets one probe through: 1 s.
    pub breaker_wait: Duration,
    /// The largest share of the endpoints that may be ejected at once: 0.5.
    pub max_ejected: f32,
    /// Lets identical idempotent calls in flight share one reply; a shared call has at most this long. `None`: off.
    pub coalesce: Option<Duration>,
    /// Tells a unary reply from garbage. By default every message passes.
    pub reply_check: ReplyCheck,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            resolve_every: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(2),
            keepalive: Duration::from_secs(5),
            keepalive_timeout: Duration::from_secs(2),
            max_connections: 16,
            max_in_flight: 16_384,
            retries: 2,
            retry_budget: 0.2,
            retry_floor: 10,
            hedge: HedgeAfter::Off,
            hedge_budget: 0.05,
            breaker_failures: 50,
            breaker_wait: Duration::from_secs(1),
            max_ejected: 0.5,
            coalesce: None,
            reply_check: |_| Ok(()),
        }
    }
}
