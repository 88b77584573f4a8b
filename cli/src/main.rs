//! The `fanout` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    fanout_cli::main()
}
