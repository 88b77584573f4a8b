//! Settings: flags, and for each the environment variable of the same meaning.
//!
//! A bad setting ends the process with exit code 64 (`EX_USAGE` of BSD's sysexits) and
//! one line that names the setting, its value and what is allowed.

use std::{ffi::OsString, net::SocketAddr, str::FromStr, time::Duration};

use clap::{
    Parser,
    error::{ContextKind, ContextValue, ErrorKind},
};

use crate::telemetry::LogArgs;

/// BSD's `EX_USAGE`: the command was used wrongly.
pub const EX_USAGE: u8 = 64;

/// The most requests that a service can be told to have in flight: far more than fit into memory.
const MAX_IN_FLIGHT: usize = 1_000_000;

/// What every service can be told.
#[derive(Clone, Debug, clap::Args)]
pub struct ServiceArgs {
    /// Where to listen: an address with a port, or `stdin` for a listening socket that is
    /// inherited as standard input
    #[arg(long, global = true, value_name = "ADDRESS")]
    pub listen: Listen,
    /// The longest that any request may take; a caller's own shorter deadline holds as well
    #[arg(long, default_value = "30s", value_parser = positive_duration, value_name = "DURATION")]
    pub deadline: Duration,
    /// How long requests in flight may take to end after SIGTERM
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration, value_name = "DURATION")]
    pub drain: Duration,
    /// How many requests may be in flight; more are refused
    #[arg(long, default_value = "16384", value_parser = max_in_flight, value_name = "N")]
    pub max_in_flight: usize,
    /// What is logged, and how
    #[command(flatten)]
    pub log: LogArgs,
}

/// Where a service listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// At this address; port 0 is any free one.
    Address(SocketAddr),
    /// At a socket that is open already and was inherited as standard input, as inetd and
    /// `fanout up` do it: its port cannot be taken by another in between.
    Stdin,
}

/// The settings of a service, and its place among the others.
pub trait Settings: Parser {
    /// The service's name, such as `user-service`. In upper case and with `_` it begins
    /// the names of its environment variables.
    const NAME: &'static str;
    /// The port that it listens on unless told otherwise.
    const PORT: u16;

    /// The part that every service has.
    fn service(&self) -> &ServiceArgs;
}

/// A setting that cannot be used, in one line, or a request for help.
#[derive(Debug)]
pub struct Unusable {
    /// What to print.
    pub message: String,
    /// 0 where help or the version was asked for.
    pub exit_code: u8,
}

/// What a service's process is started for.
#[derive(Debug)]
pub enum Task<S> {
    /// To serve.
    Serve(S),
    /// To ask the service that runs with the same settings for its health.
    CheckHealth(S),
}

/// Reads a service's settings from arguments, of which the first is the program's name,
/// and from the environment.
///
/// # Errors
///
/// Where a setting is missing, unknown or cannot be used, or help was asked for.
pub fn parse<S: Settings>(args: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<Task<S>, Unusable> {
    let mut command = command::<S>();
    let matches = command.try_get_matches_from_mut(args).map_err(|error| unusable(&error, &command))?;
    let settings = S::from_arg_matches(&matches).map_err(|error| unusable(&error, &command))?;
    Ok(if matches.subcommand_name().is_some() { Task::CheckHealth(settings) } else { Task::Serve(settings) })
}

/// The command line of a service: [`CommandFactory::command`](clap::CommandFactory::command) with the names and defaults that
/// follow from [`Settings`].
pub fn command<S: Settings>() -> clap::Command {
    let prefix = S::NAME.replace('-', "_").to_uppercase();
    S::command()
        .name(S::NAME)
        .subcommand(
            clap::Command::new("healthcheck")
                .about("Ask the service that listens there for its health, and exit with 0 or 1"),
        )
        .mut_arg("listen", |arg| arg.required(false).default_value(format!("127.0.0.1:{}", S::PORT)))
        .mut_args(|arg| match arg.get_long() {
            // Every flag has its variable; those shared with other programs name their own.
            Some(long) if arg.get_env().is_none() && long != "help" && long != "version" => {
                let name = format!("{prefix}_{}", long.replace('-', "_").to_uppercase());
                arg.env(name)
            }
            _ => arg,
        })
}

/// Turns clap's error into one line that names the setting's variable too.
pub fn unusable(error: &clap::Error, command: &clap::Command) -> Unusable {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return Unusable { message: error.render().to_string(), exit_code: 0 };
    }
    let text = error.render().to_string();
    // Usage and tips follow after an empty line.
    let first = text.split("\n\n").next().unwrap_or_default();
    let mut message = first.split_whitespace().collect::<Vec<_>>().join(" ").trim_start_matches("error: ").to_owned();
    if let Some(ContextValue::String(name)) = error.get(ContextKind::InvalidArg)
        && let Some(arg) = arg_of(name, command)
    {
        // Such as a database's URL, which holds a password.
        if let Some(ContextValue::String(value)) = error.get(ContextKind::InvalidValue)
            && arg.is_hide_env_values_set()
            && !value.is_empty()
        {
            message = message.replace(value.as_str(), "...");
        }
        if let Some(variable) = arg.get_env() {
            message = format!("{message} (environment variable {})", variable.to_string_lossy());
        }
    }
    Unusable { message, exit_code: EX_USAGE }
}

/// The argument that clap's errors call `--name <VALUE>`.
fn arg_of<'a>(name: &str, command: &'a clap::Command) -> Option<&'a clap::Arg> {
    let long = name.strip_prefix("--")?.split([' ', '=']).next()?;
    command.get_arguments().find(|arg| arg.get_long() == Some(long))
}

/// Parses a duration such as `30s` or `500ms`.
///
/// # Errors
///
/// Where it is none, or zero.
pub fn positive_duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        Ok(_) => Err("must be longer than 0, such as 30s or 500ms".to_owned()),
        Err(error) => Err(format!("{error}: a duration such as 30s or 500ms is allowed")),
    }
}

fn max_in_flight(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if (1..=MAX_IN_FLIGHT).contains(&number) => Ok(number),
        _ => Err(format!("a number from 1 to {MAX_IN_FLIGHT} is allowed")),
    }
}

// === impl Listen ===

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "stdin" {
            return Ok(Self::Stdin);
        }
        let wrong =
            |_| "an IP address with a port is allowed, such as 127.0.0.1:50051 or [::]:50051, or stdin".to_owned();
        text.parse().map(Self::Address).map_err(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Parser)]
    struct Example {
        #[command(flatten)]
        service: ServiceArgs,
        /// Where users live
        #[arg(long, env = "DATABASE_URL", hide_env_values = true, default_value = "7")]
        database: u16,
    }

    impl Settings for Example {
        const NAME: &'static str = "example-service";
        const PORT: u16 = 50059;

        fn service(&self) -> &ServiceArgs {
            &self.service
        }
    }

    #[test]
    fn a_flag_has_a_default_and_a_variable() {
        let Task::Serve(example) = parse::<Example>(["example"]).unwrap() else {
            panic!("no healthcheck was asked for")
        };
        assert_eq!(example.service.listen, Listen::Address(([127, 0, 0, 1], 50059).into()));
        let command = command::<Example>();
        let variable = |long: &str| arg_of(&format!("--{long} <X>"), &command).unwrap().get_env().unwrap();
        assert_eq!(variable("listen"), "EXAMPLE_SERVICE_LISTEN");
        assert_eq!(variable("log-format"), "EXAMPLE_SERVICE_LOG_FORMAT");
        assert_eq!(variable("database"), "DATABASE_URL");
    }

    #[test]
    fn a_bad_setting_is_one_line_that_names_it() {
        for (args, needed) in [
            (
                &["x", "--listen", "50051"][..],
                &["'50051'", "--listen", "EXAMPLE_SERVICE_LISTEN", "127.0.0.1:50051"][..],
            ),
            (&["x", "--deadline", "0s"], &["'0s'", "--deadline", "longer than 0"]),
            (&["x", "--drain", "soon"], &["'soon'", "--drain"]),
            (
                &["x", "--max-in-flight", "0"],
                &["'0'", "--max-in-flight", "EXAMPLE_SERVICE_MAX_IN_FLIGHT", "1 to 1000000"],
            ),
            (&["x", "--log", "loud"], &["'loud'", "--log", "info"]),
            (&["x", "--log-format", "xml"], &["'xml'", "text, json"]),
            (&["x", "--colour"], &["--colour"]),
        ] {
            let error = parse::<Example>(args.iter()).unwrap_err();
            assert_eq!(error.exit_code, EX_USAGE);
            assert!(!error.message.contains('\n'), "{}", error.message);
            for needed in needed {
                assert!(error.message.contains(needed), "{needed} in {}", error.message);
            }
        }
    }

    #[test]
    fn a_secret_is_not_repeated() {
        let error = parse::<Example>(["x", "--database", "postgres://ada:hunter2@db"]).unwrap_err().message;
        assert!(error.contains("--database") && error.contains("DATABASE_URL"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn a_healthcheck_takes_the_same_settings() {
        let task = parse::<Example>(["x", "healthcheck", "--listen", "127.0.0.1:7"]).unwrap();
        let Task::CheckHealth(example) = task else { panic!("a healthcheck was asked for") };
        assert_eq!(example.service.listen, Listen::Address(([127, 0, 0, 1], 7).into()));
    }

    #[test]
    fn help_is_no_error() {
        assert_eq!(parse::<Example>(["x", "--help"]).unwrap_err().exit_code, 0);
    }
}
