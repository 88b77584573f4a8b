//! The currency service as a process of its own.

use std::process::ExitCode;

use currency_service::Config;
use service_kit::process;

fn main() -> ExitCode {
    process::main::<Config>()
}
