//! The `fanout` command as a library, so that tests run its parts without a process.
//!
//! # Layout
//!
//! * [`command`]: the commands, what each ends with, and the exit codes. A new command goes there.
//! * [`compare`]: the same request with each strategy, drawn as a waterfall.
//! * [`load`]: many requests, counted and timed.
//! * [`up`]: the three services as processes of their own.
//! * [`service_command`]: this binary as one of the services.
//! * [`gateway_client`]: what `compare` and `load` share: the request, connections, the gateway's report.
//! * [`terminal`]: what the terminal can show, drawing, a line of progress.
//! * [`usage`]: what is wrong with a command line, in one line.
//!
//! Imports run one way: `command`, then `up`, `compare` and `load`, then `gateway_client` and `terminal`.

pub mod command;
pub mod compare;
pub mod gateway_client;
pub mod load;
pub mod service_command;
pub mod terminal;
pub mod up;
pub mod usage;

use std::process::ExitCode;

use command::Cli;

/// The whole of the program's `main`: reads the command line and runs the command.
#[tokio::main]
pub async fn main() -> ExitCode {
    let cli: Cli = usage::parse();
    cli.run().await.map_or_else(
        |error| {
            eprintln!("fanout: {error}");
            error.exit_code()
        },
        ExitCode::from,
    )
}
