//! The flags of `fanout up`.

use std::path::PathBuf;

use clap::Args;
use fault_injection::Distribution;
use service_kit::settings::LogArgs;

use crate::{services::ports::Ports, terminal::output::OutputArgs};

/// The flags of `fanout up`.
#[derive(Args, Clone, Debug)]
pub struct UpArgs {
    /// How long the backends take to reply: 3s, 300ms±30ms, p50=20ms,p99=200ms, or 0
    #[arg(long, default_value = "3s", value_name = "DELAY")]
    pub delay: Distribution,

    /// The directory for the users' database `users.db`; created if missing
    #[arg(long, default_value = "fanout-data", value_name = "DIRECTORY")]
    pub data_dir: PathBuf,

    /// Where the services listen.
    #[command(flatten)]
    pub ports: Ports,

    /// What the services log.
    #[command(flatten)]
    pub log: LogArgs,

    /// How to show what runs.
    #[command(flatten)]
    pub output: OutputArgs,
}
