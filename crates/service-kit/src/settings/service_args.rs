//! The flags of every service.

use std::{net::SocketAddr, str::FromStr, time::Duration};

use super::{
    connection_args::ConnectionArgs,
    log_args::LogArgs,
    rate_args::RateArgs,
    tls_args::TlsArgs,
    value_parser::{duration, percentage, positive_duration, whole_number},
};
use crate::serve::ServerLimits;

/// The largest limit on requests in flight: far more than fit into memory.
const MAX_IN_FLIGHT: usize = 1_000_000;

/// The most threads: more than any machine has processors.
const MAX_THREADS: usize = 1024;

/// The flags of every service.
#[derive(Clone, Debug, clap::Args)]
pub struct ServiceArgs {
    /// Where to listen: an address with a port, or `stdin` for a listening socket inherited as standard input
    #[arg(long, global = true, value_name = "ADDRESS")]
    pub listen: Listen,
    /// The longest time a request may take; a shorter deadline of its caller applies too
    #[arg(long, default_value = "30s", value_parser = positive_duration, value_name = "DURATION")]
    pub deadline: Duration,
    /// How long the message of a request, or its first 16 KiB, may take to arrive after the headers
    #[arg(long, default_value = "5s", value_parser = positive_duration, value_name = "DURATION")]
    pub body_timeout: Duration,
    /// How long requests in flight may take to finish after SIGTERM
    #[arg(long, default_value = "10s", value_parser = duration, value_name = "DURATION")]
    pub drain: Duration,
    /// How many requests may be in flight; more are rejected
    #[arg(long, default_value = "16384", value_parser = whole_number::<usize>(1, MAX_IN_FLIGHT), value_name = "N")]
    pub max_in_flight: usize,
    /// How much of that one connection, address or identity may have when others need it; alone it may have everything
    #[arg(long, default_value = "25%", value_parser = percentage, value_name = "PERCENT")]
    pub max_share: u8,
    /// How many threads run requests [default: as many as the process has processors]
    #[arg(long, value_parser = whole_number::<usize>(1, MAX_THREADS), value_name = "N")]
    pub threads: Option<usize>,
    /// Let callers read the contract by gRPC server reflection, as grpcurl does
    #[arg(long)]
    pub reflection: bool,
    /// The limit on each caller's requests.
    #[command(flatten)]
    pub rate: RateArgs,
    /// The limits on connections.
    #[command(flatten)]
    pub connections: ConnectionArgs,
    /// The certificate, and who may connect.
    #[command(flatten)]
    pub tls: TlsArgs,
    /// What is logged, and how.
    #[command(flatten)]
    pub log: LogArgs,
}

/// Where a service listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// At this address. Port 0 is any free port.
    Address(SocketAddr),
    /// On a listening socket that was inherited as standard input, as from inetd or `fanout up`: no other process can
    /// take its port in between.
    Stdin,
}

// === impl ServiceArgs ===

impl ServiceArgs {
    /// Returns the limits of the service's server.
    pub fn limits(&self) -> ServerLimits {
        ServerLimits {
            deadline: self.deadline,
            body_timeout: self.body_timeout,
            drain: self.drain,
            max_in_flight: self.max_in_flight,
            max_share: self.max_share,
            rate: self.rate.limit(),
            connections: self.connections.limits(),
        }
    }
}

// === impl Listen ===

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "stdin" {
            return Ok(Self::Stdin);
        }
        let invalid =
            |_| "expected an IP address with a port, such as 127.0.0.1:50051 or [::]:50051, or stdin".to_owned();
        text.parse().map(Self::Address).map_err(invalid)
    }
}
