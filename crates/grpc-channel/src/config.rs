//! How a channel balances, retries, bounds and rejects calls.

use std::{num::NonZeroUsize, str::FromStr, time::Duration};

use tower::BoxError;

/// Decides whether the bytes of a unary reply are a message at all.
///
/// A reply that fails it ends as [`Cause::Malformed`](crate::Cause::Malformed) and counts against its endpoint.
pub type ReplyCheck = fn(&[u8]) -> Result<(), BoxError>;

/// The settings of a [`Channel`](crate::Channel). [`Config::default`] has the values that the fields' documentation names.
///
/// A [`ServiceConfig`](crate::ServiceConfig) takes precedence for the methods that it names.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// How often names are resolved again: 5 s.
    pub resolve_every: Duration,
    /// The most endpoints that are connected to, of all that the names resolve to: `None`, which is all. Each channel chooses
    /// at random (gRFC A68), whether or not an endpoint can be reached. An address that comes or goes changes at most one of
    /// those that are chosen; one that is ready stays until the other is.
    pub subset_size: Option<NonZeroUsize>,
    /// How long connecting to an endpoint may take: 2 s.
    pub connect_timeout: Duration,
    /// How often a connection is pinged: 6 min. Servers that enforce gRPC's default close connections with more than a ping
    /// every 5 minutes. Others, such as tonic's, accept any: a few seconds find a server that hangs much earlier.
    pub keepalive: Duration,
    /// How long an endpoint may take to answer a ping before its connection counts as lost: 20 s.
    pub keepalive_timeout: Duration,
    /// The most connections to one endpoint, opened as calls need them: 16, each with up to 1,000 calls. If calls come from
    /// several runtimes, each that makes many of them has one of its own first, which its threads drive.
    pub max_connections: usize,
    /// The most calls in flight, waiting ones included: 16,384. More are rejected with `RESOURCE_EXHAUSTED`.
    pub max_in_flight: usize,
    /// How often a failed call is sent again: 2. 0 turns retries off, those of calls that were not sent included.
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

/// When a call counts as late.
///
/// From text: `off`, a delay such as `50ms`, or a percentile such as `p95`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum HedgeAfter {
    /// Never.
    Off,
    /// After this time.
    Delay(Duration),
    /// When it takes longer than this percentile of the latest replies, of which there are at least 100.
    Percentile(f64),
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self {
            resolve_every: Duration::from_secs(5),
            subset_size: None,
            connect_timeout: Duration::from_secs(2),
            keepalive: Duration::from_mins(6),
            keepalive_timeout: Duration::from_secs(20),
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

// === impl HedgeAfter ===

impl FromStr for HedgeAfter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let allowed = "expected off, a delay such as 50ms, or a percentile such as p95";
        if text == "off" {
            return Ok(Self::Off);
        }
        if let Some(percentile) = text.strip_prefix('p') {
            return match percentile.parse() {
                Ok(percentile) if (1.0..100.0).contains(&percentile) => Ok(Self::Percentile(percentile)),
                _ => Err(format!("a percentile is between p1 and p99.9: {allowed}")),
            };
        }
        match humantime::parse_duration(text) {
            Ok(delay) if !delay.is_zero() => Ok(Self::Delay(delay)),
            _ => Err(allowed.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hedge_is_after_a_delay_or_a_percentile() {
        assert_eq!("off".parse(), Ok(HedgeAfter::Off));
        assert_eq!("50ms".parse(), Ok(HedgeAfter::Delay(Duration::from_millis(50))));
        assert_eq!("p99.9".parse(), Ok(HedgeAfter::Percentile(99.9)));
        for bad in ["", "0s", "p0", "p100", "pxx", "soon"] {
            assert!(bad.parse::<HedgeAfter>().unwrap_err().contains("expected off"), "{bad:?}");
        }
    }
}
