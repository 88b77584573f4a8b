//! This binary as one of the services: the same as the service's own.

use std::{ffi::OsString, process::ExitCode};

use clap::Subcommand;
use service_kit::process;

use crate::up;

/// The services. Their own settings are read by themselves: see `fanout gateway --help`.
#[derive(Debug, Subcommand)]
pub enum ServiceCommand {
    /// Runs the gateway alone
    #[command(disable_help_flag = true)]
    Gateway(Args),
    /// Runs the user service alone
    #[command(disable_help_flag = true)]
    UserService(Args),
    /// Runs the country service alone
    #[command(disable_help_flag = true)]
    CountryService(Args),
}

/// Handed to the service as they are.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "SETTINGS")]
    args: Vec<OsString>,
}

/// Runs a service until it ends.
pub async fn serve(service: ServiceCommand) -> ExitCode {
    up::end_with_parent();
    match service {
        ServiceCommand::Gateway(args) => process::main_with(args.after("gateway"), gateway::Config::serve).await,
        ServiceCommand::UserService(args) => {
            process::main_with(args.after("user-service"), user_service::Config::serve).await
        }
        ServiceCommand::CountryService(args) => {
            process::main_with(args.after("country-service"), country_service::Config::serve).await
        }
    }
}

// === impl Args ===

impl Args {
    fn after(self, program: &str) -> impl Iterator<Item = OsString> {
        std::iter::once(program.into()).chain(self.args)
    }
}
