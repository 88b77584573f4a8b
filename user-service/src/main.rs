//! The user service as a process of its own.

use std::process::ExitCode;

use service_kit::process;
use user_service::Config;

fn main() -> ExitCode {
    process::main::<Config>()
}
