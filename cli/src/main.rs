//! The `fanout` command.

use std::process::ExitCode;

use fanout_cli::{command::Cli, usage};
use service_kit::process;

fn main() -> ExitCode {
    let cli: Cli = usage::parse();
    process::block_on(cli.run()).map_or_else(
        |error| {
            eprintln!("fanout: {error}");
            error.exit_code()
        },
        ExitCode::from,
    )
}
