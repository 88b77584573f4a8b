//! What is compared with what.

use clap::ValueEnum;

use crate::subject::{
    BEFORE, BEFORE_EXPORTED, BEFORE_SAMPLED, COALESCED, CPP, ENVOY_COUNTRIES, ENVOY_USER, EXPORTED, FANOUT,
    FANOUT_STREAM, FASTAPI, GRPC_AIO, LOGGED, NODE, ONE_CONNECTION, ONE_CORE, ONE_THREAD, PLAIN_TONIC, REPLICAS,
    SAMPLED, Subject, TWO_CORES, WITHOUT_RETRIES,
};

/// Two builds of the gateway, in the same settings.
const BUILDS: [[Subject; 2]; 3] = [[BEFORE, FANOUT], [BEFORE_SAMPLED, SAMPLED], [BEFORE_EXPORTED, EXPORTED]];

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// The gateway and its peers, one caller and 128
    Peers,
    /// The gateway with a log and with spans, against without
    Telemetry,
    /// The gateway with other settings, against its defaults
    Tuning,
    /// How much more two processors do than one
    Cores,
    /// The cost of a request against the number of requests in flight
    InFlight,
    /// The cost of a call against the number of calls of a request
    Width,
    /// The cost of a request against the number of replicas of each backend
    Replicas,
    /// Another build of the gateway, which `--before` names, and this one
    Before,
    /// What 10,000 requests in flight take, and what is given back
    Memory,
    /// System calls of an aggregate, and the kernel's share of its processor time
    Syscalls,
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

    /// What is measured in turn.
    pub(crate) fn subjects(self) -> Vec<Subject> {
        match self {
            Self::Peers => vec![PLAIN_TONIC, FANOUT, ENVOY_COUNTRIES, ENVOY_USER, CPP, NODE, GRPC_AIO, FASTAPI],
            Self::Telemetry => vec![FANOUT, LOGGED, SAMPLED, EXPORTED],
            Self::Tuning => vec![FANOUT, ONE_THREAD, COALESCED, ONE_CONNECTION, WITHOUT_RETRIES],
            Self::Cores => vec![ONE_CORE, TWO_CORES],
            Self::InFlight => vec![ENVOY_COUNTRIES, FANOUT, PLAIN_TONIC],
            Self::Width => vec![FANOUT_STREAM],
            Self::Replicas => REPLICAS.map(|(_, subject)| subject).to_vec(),
            Self::Before => BUILDS.as_flattened().to_vec(),
            Self::Memory | Self::Syscalls | Self::Cost => Vec::new(),
        }
    }

    /// Returns what a subject's ratios are of, be it measured or not: the first subject, but of two builds the other one in
    /// the same setting.
    pub(crate) fn reference(self, subject: &str) -> &'static str {
        if self == Self::Before {
            let pair = BUILDS.iter().find(|pair| pair.iter().any(|build| build.name == subject));
            return pair.map_or("", |[before, _]| before.name);
        }
        self.subjects().first().map_or("", |first| first.name)
    }

    /// Returns a point in words.
    pub(crate) fn at(self, point: Point) -> String {
        let Point { in_flight, width } = point;
        if self == Self::Width { format!("{width} calls") } else { format!("{in_flight} in flight") }
    }

    pub(crate) fn points(self) -> Vec<Point> {
        let points =
            |in_flight: &[usize]| in_flight.iter().map(|in_flight| Point { in_flight: *in_flight, width: 2 }).collect();
        match self {
            Self::Peers | Self::Before | Self::Syscalls | Self::Tuning | Self::Replicas => points(&[1, 128]),
            Self::Telemetry | Self::Cores => points(&[128]),
            Self::InFlight => points(&[1, 8, 128, 1_000, 10_000]),
            Self::Width => [1, 10, 100, 1_000].map(|width| Point { in_flight: 4, width }).to_vec(),
            Self::Memory | Self::Cost => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_is_compared_with_like() {
        assert_eq!(Scenario::Peers.reference("Node grpc-js"), "plain tonic");
        assert_eq!(Scenario::Before.reference("fanout"), "before");
        assert_eq!(Scenario::Before.reference("before"), "before");
        assert_eq!(Scenario::Before.reference(SAMPLED.name), BEFORE_SAMPLED.name);
        assert_eq!(Scenario::Before.reference(EXPORTED.name), BEFORE_EXPORTED.name);
    }
}
