//! The flags of `fanout load`, and the workload that they describe.

use std::time::Duration;

use clap::Args;
use service_kit::settings::whole_number;

use crate::{
    gateway_client::request::{RequestArgs, Strategy, positive_duration},
    load::help::EXAMPLES,
    terminal::output::OutputArgs,
};

/// Concurrent requests for each connection: servers commonly allow 100 to 200 streams, and a request that waits for a
/// stream would count as slow.
const PER_CONNECTION: usize = 100;
/// The most requests in flight.
const MAX_CONCURRENCY: usize = 100_000;
/// The most requests in all: far more than anybody waits for.
const MAX_REQUESTS: usize = 1_000_000_000;
const MAX_CONNECTIONS: usize = 1000;
/// The default duration of an open loop.
const DEFAULT_DURATION: Duration = Duration::from_secs(10);

/// The flags of `fanout load`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct LoadArgs {
    #[command(flatten)]
    pub(crate) request: RequestArgs,

    /// The strategy to ask for [default: the gateway chooses]
    #[arg(long, value_enum)]
    strategy: Option<Strategy>,

    /// The number of callers, each with one request at a time
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = whole_number(1, MAX_CONCURRENCY))]
    callers: usize,

    /// The number of requests in all [default: one for each caller]
    #[arg(long, value_name = "N", conflicts_with = "duration", value_parser = whole_number(1, MAX_REQUESTS))]
    requests: Option<usize>,

    /// How long to send requests; those in flight at the end are awaited
    #[arg(long, value_name = "TIME", value_parser = positive_duration)]
    duration: Option<Duration>,

    /// Requests per second, whether or not replies arrive: an open loop [default duration: 10s]
    #[arg(long, value_name = "PER_SECOND", conflicts_with = "callers", value_parser = rate)]
    rate: Option<f64>,

    /// With --rate: how many requests may be in flight; others are sent late and counted as late
    #[arg(long, value_name = "N", default_value_t = 1000, requires = "rate", value_parser = whole_number(1, MAX_CONCURRENCY))]
    max_in_flight: usize,

    /// The number of connections [default: one for each 100 concurrent requests]
    #[arg(long, value_name = "N", value_parser = whole_number(1, MAX_CONNECTIONS))]
    connections: Option<usize>,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// What a load test does.
#[derive(Clone, Debug)]
pub struct Workload {
    /// The request.
    pub request: RequestArgs,
    /// The strategy, or `None` if the gateway chooses.
    pub strategy: Option<Strategy>,
    /// The number of connections.
    pub connections: usize,
    /// When requests are sent.
    pub load: Loop,
}

/// When requests are sent.
#[derive(Clone, Copy, Debug)]
pub enum Loop {
    /// Each caller sends its next request after the reply to the last one.
    Closed {
        /// The number of callers.
        callers: usize,
        /// When to stop.
        quota: Limit,
    },
    /// At fixed instants.
    Open {
        /// Requests per second.
        rate: f64,
        /// When to stop.
        quota: Limit,
        /// How many requests may be in flight.
        max_in_flight: usize,
    },
}

/// When to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// After this many requests.
    Requests(u64),
    /// After this time.
    Duration(Duration),
}

// === impl Workload ===

impl Workload {
    /// Returns the workload that the flags describe.
    pub fn new(args: &LoadArgs) -> Self {
        let chosen = match (args.requests, args.duration) {
            (Some(requests), _) => Some(Limit::Requests(requests as u64)),
            (None, Some(duration)) => Some(Limit::Duration(duration)),
            (None, None) => None,
        };
        let load = match args.rate {
            None => {
                let quota = chosen.unwrap_or(Limit::Requests(args.callers as u64));
                Loop::Closed { callers: args.callers, quota }
            }
            Some(rate) => {
                let quota = chosen.unwrap_or(Limit::Duration(DEFAULT_DURATION));
                Loop::Open { rate, quota, max_in_flight: args.max_in_flight }
            }
        };
        let mut workload = Self { request: args.request.clone(), strategy: args.strategy, connections: 1, load };
        workload.connections = args.connections.unwrap_or_else(|| workload.max_concurrency().div_ceil(PER_CONNECTION));
        workload
    }

    /// Returns the largest number of requests in flight.
    pub fn max_concurrency(&self) -> usize {
        match self.load {
            Loop::Closed { callers, .. } => callers,
            Loop::Open { max_in_flight, .. } => max_in_flight,
        }
    }
}

/// Parses a rate in requests per second.
fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (0.001..=1e6).contains(rate));
    rate.ok_or_else(|| "expected requests a second, from 0.001 to 1000000".to_owned())
}
