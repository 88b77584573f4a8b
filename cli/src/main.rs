//! The `fanout` command.

use std::process::ExitCode;

use fanout_cli::{command::Cli, usage};

#[tokio::main]
async fn main() -> ExitCode {
    let cli: Cli = usage::parse();
    cli.run().await.map_or_else(
        |error| {
            eprintln!("fanout: {error}");
            error.exit_code()
        },
        ExitCode::from,
    )
}
