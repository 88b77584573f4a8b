//! Flags for how calls to all backends are balanced, repeated, bounded and rejected.

use std::{fs, num::NonZeroUsize, str::FromStr, time::Duration};

use clap::builder::PossibleValuesParser;
use fanout_proto::FILE_DESCRIPTOR_SET;
use grpc_channel::{Config, Descriptors, HedgeAfter, ServiceConfig};
use service_kit::settings::{positive_duration, whole_number};

use super::BACKENDS;

/// The largest number that a limit takes.
const MANY: NonZeroUsize = NonZeroUsize::new(1_000_000).expect("it is not 0");

/// How calls to each backend are balanced, repeated, bounded and rejected.
#[derive(Clone, Debug, clap::Args)]
pub struct BackendArgs {
    /// How often the backends' names are resolved again
    #[arg(long, default_value = "5s", value_parser = positive_duration, value_name = "DURATION")]
    pub resolve_every: Duration,
    /// The most replicas of each backend that are connected to, chosen at random; all if it is not set
    #[arg(long, value_parser = whole_number(NonZeroUsize::MIN, MANY), value_name = "N")]
    pub subset_size: Option<NonZeroUsize>,
    /// How long connecting to a replica may take
    #[arg(long, default_value = "2s", value_parser = positive_duration, value_name = "DURATION")]
    pub connect_timeout: Duration,
    /// How often a connection is pinged
    #[arg(long, default_value = "5s", value_parser = positive_duration, value_name = "DURATION")]
    pub keepalive: Duration,
    /// How long a replica may take to answer a ping before its connection counts as lost
    #[arg(long, default_value = "2s", value_parser = positive_duration, value_name = "DURATION")]
    pub keepalive_timeout: Duration,
    /// The most connections to each replica, each for up to 1000 calls
    #[arg(long, default_value = "16", value_parser = whole_number::<usize>(1, 1_000_000), value_name = "N")]
    pub connections: usize,
    /// The most calls in flight to each backend; more are rejected
    #[arg(long, default_value = "16384", value_parser = whole_number::<usize>(1, 1_000_000), value_name = "N")]
    pub backend_max_in_flight: usize,
    /// How often a failed call is sent again; 0 turns retries off
    #[arg(long, default_value = "2", value_parser = whole_number::<u32>(0, 10), value_name = "N")]
    pub retries: u32,
    /// Retries as a share of the calls that succeeded
    #[arg(long, default_value = "20%", value_name = "PERCENT")]
    pub retry_budget: Percent,
    /// Retries per second that are allowed in addition to the budget
    #[arg(long, default_value = "10", value_parser = whole_number::<u32>(0, 1_000_000), value_name = "N")]
    pub retry_floor: u32,
    /// When a late call is sent a second time: off, after a delay such as 50ms, or at a percentile of the latest replies
    /// such as p95
    #[arg(long, default_value = "off", value_name = "WHEN")]
    pub hedge: HedgeAfter,
    /// Hedges as a share of all calls; two per second are allowed in addition
    #[arg(long, default_value = "5%", value_name = "PERCENT")]
    pub hedge_budget: Percent,
    /// How many calls in a row have to fail before a backend's circuit breaker opens
    #[arg(long, default_value = "50", value_parser = whole_number::<usize>(1, 1_000_000), value_name = "N")]
    pub breaker_failures: usize,
    /// How long an open circuit breaker rejects calls before it lets a probe through
    #[arg(long, default_value = "1s", value_parser = positive_duration, value_name = "DURATION")]
    pub breaker_wait: Duration,
    /// The largest share of a backend's replicas that may be ejected for their failures at once
    #[arg(long, default_value = "50%", value_name = "PERCENT")]
    pub max_ejected: Percent,
    /// Comma-separated backends whose identical in-flight calls share one reply
    #[arg(long, value_delimiter = ',', default_value = "none", value_parser = coalesced(), value_name = "BACKEND")]
    pub coalesce: Vec<String>,
    /// A JSON file with gRPC's service config: timeouts, retries and hedging by method; the flags apply to what it leaves out
    #[arg(long, value_parser = read_service_config, value_name = "FILE")]
    pub service_config: Option<ServiceConfig>,
}

/// A percentage, such as `20%`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Percent(f32);

// === impl BackendArgs ===

impl BackendArgs {
    /// Returns the settings of the channel to the backend `name`. `deadline` limits calls whose reply several requests
    /// share.
    pub(super) fn config(&self, name: &str, deadline: Duration) -> Config {
        Config {
            resolve_every: self.resolve_every,
            subset_size: self.subset_size,
            connect_timeout: self.connect_timeout,
            keepalive: self.keepalive,
            keepalive_timeout: self.keepalive_timeout,
            max_connections: self.connections,
            max_in_flight: self.backend_max_in_flight,
            retries: self.retries,
            retry_budget: self.retry_budget.fraction(),
            retry_floor: self.retry_floor,
            hedge: self.hedge,
            hedge_budget: self.hedge_budget.fraction(),
            breaker_failures: self.breaker_failures,
            breaker_wait: self.breaker_wait,
            max_ejected: self.max_ejected.fraction(),
            coalesce: self.coalesce.iter().any(|backend| backend == name).then_some(deadline),
            ..Config::default()
        }
    }
}

/// Returns the values that `--coalesce` takes: the names of the backends, or none of them.
fn coalesced() -> PossibleValuesParser {
    ["none"].into_iter().chain(BACKENDS.map(|backend| backend.name)).collect::<Vec<_>>().into()
}

/// Reads a service config, and checks that the contract has the methods that it names.
fn read_service_config(file: &str) -> Result<ServiceConfig, String> {
    let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
    let config = ServiceConfig::from_json(&text).map_err(|error| error.to_string())?;
    let contract = Descriptors::decode(FILE_DESCRIPTOR_SET).map_err(|error| error.to_string())?;
    config.check(&contract).map_err(|error| error.to_string())?;
    Ok(config)
}

// === impl Percent ===

impl Percent {
    /// Returns the percentage as a fraction, such as `0.2`.
    pub fn fraction(self) -> f32 {
        self.0 / 100.0
    }
}

impl FromStr for Percent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.strip_suffix('%').and_then(|number| number.parse().ok());
        match number {
            Some(number) if (0.0..=100.0).contains(&number) => Ok(Self(number)),
            _ => Err("expected a percentage from 0% to 100%, such as 20%".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_needs_its_sign() {
        assert_eq!("20%".parse(), Ok(Percent(20.0)));
        assert!((Percent(20.0).fraction() - 0.2).abs() < f32::EPSILON);
        for bad in ["20", "101%", "-1%", "%", "NaN%", "twenty"] {
            assert!(bad.parse::<Percent>().unwrap_err().contains("0% to 100%"), "{bad}");
        }
    }
}
