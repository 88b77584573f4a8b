//! What is compared with what.

use clap::ValueEnum;

use crate::subject::{
    BEFORE, BEFORE_EXPORTED, BEFORE_SAMPLED, CPP, ENVOY_COUNTRIES, ENVOY_USER, EXPORTED, FANOUT, FANOUT_STREAM,
    FASTAPI, GRPC_AIO, LOGGED, NODE, PLAIN_TONIC, SAMPLED, Subject,
};

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// The gateway and its peers, one caller and 128
    Peers,
    /// The gateway with a log and with spans, against without
    Telemetry,
    /// The cost of a request against the number of requests in flight
    InFlight,
    /// The cost of a call against the number of calls of a request
    Width,
    /// Another build of the gateway, which `--before` names, and this one
    Before,
    /// What 10,000 requests in flight take, and what is given back
    Memory,
    /// Instructions and allocations of an aggregate, counted by valgrind
    Cost,
}

/// How many requests are in flight, and how many calls each has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) in_flight: usize,
    pub(crate) width: usize,
}

// === impl Scenario ===

impl Scenario {
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// What is measured. The first is what ratios are of.
    pub(crate) fn subjects(self) -> &'static [Subject] {
        match self {
            Self::Peers => &[PLAIN_TONIC, FANOUT, ENVOY_COUNTRIES, ENVOY_USER, CPP, NODE, GRPC_AIO, FASTAPI],
            Self::Telemetry => &[FANOUT, LOGGED, SAMPLED, EXPORTED],
            Self::InFlight => &[ENVOY_COUNTRIES, FANOUT, PLAIN_TONIC],
            Self::Width => &[FANOUT_STREAM],
            Self::Before => &[BEFORE, FANOUT, BEFORE_SAMPLED, SAMPLED, BEFORE_EXPORTED, EXPORTED],
            Self::Memory | Self::Cost => &[],
        }
    }

    pub(crate) fn points(self) -> Vec<Point> {
        let points =
            |in_flight: &[usize]| in_flight.iter().map(|in_flight| Point { in_flight: *in_flight, width: 2 }).collect();
        match self {
            Self::Peers | Self::Before => points(&[1, 128]),
            Self::Telemetry => points(&[128]),
            Self::InFlight => points(&[1, 8, 128, 1_000, 10_000]),
            Self::Width => [1, 10, 100, 1_000].map(|width| Point { in_flight: 4, width }).to_vec(),
            Self::Memory | Self::Cost => Vec::new(),
        }
    }
}
