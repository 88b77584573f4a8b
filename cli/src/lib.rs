//! The `fanout` command as a library, so that tests can run its parts without a process.
//!
//! # Layout
//!
//! * [`command`]: the commands and the exit codes; [`completion`]: how a command ends. A new command goes there.
//! * [`call`]: one request, its calls as a picture, and its reply.
//! * [`compare`]: one request with each strategy, drawn as a waterfall.
//! * [`load`]: many requests, counted and timed.
//! * [`analyze`]: traces of any program: how their calls overlapped.
//! * [`up`]: all services, each as a process.
//! * [`view`]: receives traces and shows them in a browser, with a panel that sends requests.
//! * [`certs`]: an authority and certificates for all services.
//! * [`key`]: the API keys of a gateway.
//! * [`completions`]: completions for shells, and the manual page.
//! * [`services`]: the table of services, and the subcommands that run one. A new backend goes there.
//! * [`gateway_client`]: what `compare` and `load` share: the request, connections, the gateway's report.
//! * [`terminal`]: what the terminal can show, drawing, a line of progress.
//! * [`parent_process`]: a child ends when its parent has ended.
//! * [`usage`]: reads the command line; errors in it, each as one line.
//!
//! Imports run one way: `command`, then `up`, then `view`, then `analyze`, `call`, `certs`, `compare` and `load`, then the others.

pub mod analyze;
pub mod call;
pub mod certs;
pub mod command;
pub mod compare;
pub mod completion;
pub mod completions;
pub mod gateway_client;
pub mod key;
pub mod load;
pub mod parent_process;
pub mod services;
pub mod terminal;
pub mod up;
pub mod usage;
pub mod view;

use std::process::ExitCode;

/// The program's `main`: reads the command line and runs the command.
///
/// # Panics
///
/// Panics if the operating system provides no threads for the runtime.
pub fn main() -> ExitCode {
    parent_process::end_with_parent();
    let cli = usage::parse();
    cli.run().map_or_else(
        |error| {
            eprintln!("fanout: {error}");
            error.exit_code()
        },
        ExitCode::from,
    )
}
