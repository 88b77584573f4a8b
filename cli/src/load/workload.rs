//! The flags of `fanout load`, and the workload that follows from them.

use std::time::Duration;

use clap::Args;

use crate::{
    gateway_client::request::{RequestArgs, Strategy, positive_duration},
    terminal::output::OutputArgs,
};

/// Requests at once on one connection, beyond which another is opened: servers commonly
/// allow 100 to 200 streams, and what waits for a stream would be counted as slow.
const PER_CONNECTION: usize = 100;
/// How long an open loop runs where nobody says.
const DEFAULT_DURATION: Duration = Duration::from_secs(10);

/// The flags of `fanout load`.
#[derive(Args, Clone, Debug)]
pub struct LoadArgs {
    #[command(flatten)]
    pub(crate) request: RequestArgs,

    /// The strategy to ask for [default: the gateway chooses]
    #[arg(long, value_enum)]
    strategy: Option<Strategy>,

    /// How many callers, each with one request at a time
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    callers: u32,

    /// How many requests in all [default: one for each caller]
    #[arg(long, value_name = "N", conflicts_with = "duration", value_parser = clap::value_parser!(u64).range(1..))]
    requests: Option<u64>,

    /// How long to send requests; those under way are awaited
    #[arg(long, value_name = "TIME", value_parser = positive_duration)]
    duration: Option<Duration>,

    /// Send so many requests per second, whatever the replies do: an open loop [default duration: 10s]
    #[arg(long, value_name = "PER_SECOND", conflicts_with = "callers", value_parser = rate)]
    rate: Option<f64>,

    /// With --rate: how many requests may be under way at once; others are late, and counted so
    #[arg(long, value_name = "N", default_value_t = 1000, requires = "rate", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    max_in_flight: u32,

    /// How many connections to spread the requests over [default: one for each 100 at once]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    connections: Option<u16>,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// What to do.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Whom to ask for what.
    pub request: RequestArgs,
    /// The strategy, where it is not the gateway's to choose.
    pub strategy: Option<Strategy>,
    /// How many connections.
    pub connections: usize,
    /// When requests are sent.
    pub load: Loop,
}

/// When requests are sent.
#[derive(Clone, Copy, Debug)]
pub enum Loop {
    /// Each caller's next request follows on its last reply.
    Closed {
        /// How many callers.
        callers: usize,
        /// When it is enough.
        quota: Limit,
    },
    /// At fixed instants.
    Open {
        /// Requests per second.
        rate: f64,
        /// When it is enough.
        quota: Limit,
        /// How many may be under way at once.
        max_in_flight: usize,
    },
}

/// When it is enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// After so many requests.
    Requests(u64),
    /// After so long.
    Duration(Duration),
}

// === impl Workload ===

impl Workload {
    /// The workload that follows from the flags.
    pub fn new(args: &LoadArgs) -> Self {
        let chosen = match (args.requests, args.duration) {
            (Some(requests), _) => Some(Limit::Requests(requests)),
            (None, Some(duration)) => Some(Limit::Duration(duration)),
            (None, None) => None,
        };
        let load = match args.rate {
            None => {
                let quota = chosen.unwrap_or(Limit::Requests(args.callers.into()));
                Loop::Closed { callers: size(args.callers), quota }
            }
            Some(rate) => {
                let quota = chosen.unwrap_or(Limit::Duration(DEFAULT_DURATION));
                Loop::Open { rate, quota, max_in_flight: size(args.max_in_flight) }
            }
        };
        let mut workload = Self { request: args.request.clone(), strategy: args.strategy, connections: 1, load };
        workload.connections = args.connections.map_or(workload.at_once().div_ceil(PER_CONNECTION), usize::from);
        workload
    }

    /// How many requests are under way at once at most.
    pub fn at_once(&self) -> usize {
        match self.load {
            Loop::Closed { callers, .. } => callers,
            Loop::Open { max_in_flight, .. } => max_in_flight,
        }
    }
}

/// Reads a rate in requests per second.
fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (0.001..=1e6).contains(rate));
    rate.ok_or_else(|| "a number of requests per second is wanted, 0.001 to 1000000".to_owned())
}

fn size(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
