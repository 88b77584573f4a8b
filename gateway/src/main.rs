//! The gateway as a process of its own.

use std::process::ExitCode;

use gateway::Config;
use service_kit::process;

fn main() -> ExitCode {
    process::main::<Config>()
}
