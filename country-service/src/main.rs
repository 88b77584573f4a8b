//! The country service as a process of its own.

use std::process::ExitCode;

use country_service::Config;
use service_kit::process;

fn main() -> ExitCode {
    process::main::<Config>()
}
