//! The country service as a process of its own.

use std::process::ExitCode;

use country_service::Config;
use service_kit::process;

#[tokio::main]
async fn main() -> ExitCode {
    process::main(Config::serve).await
}
