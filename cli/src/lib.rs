//! The `fanout` command as a library, so that tests run its parts without a process.
//!
//! # Layout
//!
//! * [`command`]: the commands, what each ends with, and the exit codes. A new command goes there.
//! * [`compare`]: the same request with each strategy, drawn as a waterfall.
//! * [`load`]: many requests, counted and timed.
//! * [`up`]: the three services as processes of their own.
//! * [`service`]: this binary as one of the services.
//! * [`request`], [`baggage`], [`gateway_address`], [`output`]: the flags that they share.
//! * [`report`], [`rpc_error`]: what the gateway says, in the types of this crate.
//! * [`terminal`], [`style`], [`live_line`]: what the terminal can show, and a line of progress.
//! * [`bar`], [`scale`], [`duration_format`], [`text_layout`]: drawing; pure functions.
//! * [`usage`]: what is wrong with a command line, in one line.

pub mod baggage;
pub mod bar;
pub mod command;
pub mod compare;
pub mod duration_format;
pub mod gateway_address;
pub mod live_line;
pub mod load;
pub mod output;
pub mod report;
pub mod request;
pub mod rpc_error;
pub mod scale;
pub mod service;
pub mod style;
pub mod terminal;
pub mod text_layout;
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
