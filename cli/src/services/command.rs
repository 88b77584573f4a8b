//! The subcommands that run one service: the same as the service's own program.

use std::{ffi::OsString, process::ExitCode};

use clap::{Arg, ArgAction, ArgMatches, Command, Error, FromArgMatches, Subcommand, builder::ValueParser};

use crate::services::{SERVICES, Service};

/// The id of the arguments that a service reads itself: see `fanout gateway --help`.
const ARGS: &str = "args";

/// A service and its command line.
#[derive(Clone, Debug)]
pub struct ServiceCommand {
    service: &'static Service,
    args: Vec<OsString>,
}

// === impl ServiceCommand ===

impl ServiceCommand {
    /// Runs the service until it ends.
    ///
    /// # Panics
    ///
    /// Panics inside a runtime.
    pub fn run(self) -> ExitCode {
        self.service.run(self.args)
    }
}

impl Subcommand for ServiceCommand {
    fn augment_subcommands(command: Command) -> Command {
        command.subcommands(SERVICES.iter().map(|service| {
            let args = Arg::new(ARGS)
                .value_name("SETTINGS")
                .value_parser(ValueParser::os_string())
                .action(ArgAction::Append)
                .num_args(0..)
                .trailing_var_arg(true)
                .allow_hyphen_values(true);
            let about = format!("Runs the {} alone", service.words());
            Command::new(service.name).about(about).disable_help_flag(true).arg(args)
        }))
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        Self::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        SERVICES.iter().any(|service| service.name == name)
    }
}

impl FromArgMatches for ServiceCommand {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let found = matches.subcommand().and_then(|(name, matches)| {
            let service = SERVICES.iter().find(|service| service.name == name)?;
            let args = matches.get_many::<OsString>(ARGS).unwrap_or_default().cloned().collect();
            Some(Self { service, args })
        });
        found.ok_or_else(|| Error::new(clap::error::ErrorKind::MissingSubcommand))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
