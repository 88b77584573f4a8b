//! The flags that limit the connections of a service.

use std::time::Duration;

use super::value_parser::{positive_duration, whole_number};
use crate::connections::ConnectionLimits;

/// The largest limit on connections: more than a process has file descriptors for by default.
const MAX_CONNECTIONS: usize = 1_000_000;

/// The flags that limit the connections of a service.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct ConnectionArgs {
    /// How many connections may be open; more are closed at once
    #[arg(long, default_value = "4096", value_parser = whole_number::<usize>(1, MAX_CONNECTIONS), value_name = "N")]
    pub max_connections: usize,
    /// How many of them may come from one IP address (of IPv6: one /64 network); loopback has no limit of its own
    #[arg(long, default_value = "1024", value_parser = whole_number::<usize>(1, MAX_CONNECTIONS), value_name = "N")]
    pub max_connections_per_peer: usize,
    /// When a connection is closed gracefully, plus or minus a tenth, so that callers spread over new replicas
    #[arg(long, value_parser = positive_duration, value_name = "DURATION")]
    pub max_connection_age: Option<Duration>,
    /// How long the calls on a connection of that age may take to finish
    #[arg(long, default_value = "30s", value_parser = positive_duration, value_name = "DURATION")]
    pub max_connection_age_grace: Duration,
}

// === impl ConnectionArgs ===

impl ConnectionArgs {
    /// Returns the limits of the service's server.
    pub fn limits(&self) -> ConnectionLimits {
        ConnectionLimits {
            max: self.max_connections,
            max_per_peer: self.max_connections_per_peer,
            max_age: self.max_connection_age,
            max_age_grace: self.max_connection_age_grace,
        }
    }
}
