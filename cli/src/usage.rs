//! Reads the command line. What cannot be read ends the process with exit code 64 and says what was meant to be there.

use clap::{CommandFactory as _, FromArgMatches as _, error::ErrorKind};
use service_kit::settings::{EX_USAGE, UsageError};

use crate::{command::Cli, terminal::program};

/// Parses the command line. Ends the process after it has printed help, the version or an error.
pub fn parse() -> Cli {
    let mut command = command(&program::name());
    let matches = command.try_get_matches_from_mut(std::env::args_os());
    let parsed = matches.and_then(|matches| {
        let cli = Cli::from_arg_matches(&matches)?;
        cli.check().map_err(|message| command.error(ErrorKind::ValueValidation, message))?;
        Ok(cli)
    });
    parsed.unwrap_or_else(|error| {
        match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => error.exit(),
            // Help in place of an error, on standard error as one.
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => _ = error.print(),
            _ => eprintln!("fanout: {}", UsageError::new(&error, &command).message),
        }
        std::process::exit(EX_USAGE.into());
    })
}

/// Returns the command line of `fanout`, whose help ends with how to begin. `program` is how it is called.
pub fn command(program: &str) -> clap::Command {
    let steps = format!("Begin with:\n{}", first_steps(program));
    Cli::command().arg_required_else_help(true).after_help(steps)
}

/// Returns the commands to begin with, as they can be typed.
pub(crate) fn first_steps(program: &str) -> String {
    format!(
        "  {program} up                  start the gateway and its services, and leave them running\n  \
         {program} compare             in another terminal: see what joining two calls saves\n  \
         {program} call profile ada    make one request, and see its calls and its reply"
    )
}
