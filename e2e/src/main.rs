//! The `fanout` command, built as a binary of this package so that its tests can find it.

use std::process::ExitCode;

fn main() -> ExitCode {
    fanout_cli::main()
}
