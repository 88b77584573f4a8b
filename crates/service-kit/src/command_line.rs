//! Reads the settings of a service from the command line and the environment.

use std::ffi::OsString;

use clap::builder::Resettable;

use crate::{
    service::Settings,
    settings::{UsageError, variable},
};

/// What a process is told to do that asks a service for its health.
const HEALTHCHECK: &str = "healthcheck";

/// The flags of a healthcheck that may be variables: where the service is, and the certificate to present.
const OF_HEALTHCHECK: [&str; 3] = ["listen", "tls-cert", "tls-key"];

/// What a process of a service was started for.
#[derive(Debug)]
pub enum Invocation<S> {
    /// To serve.
    Serve(S),
    /// To ask the service that runs with the same settings for its health.
    CheckHealth(S),
}

/// Parses the settings of a service from arguments, the first of which is the name of the program, and from the
/// environment.
///
/// # Errors
///
/// Returns an error if a setting is missing, unknown or invalid, or if help was requested.
pub fn parse<S: Settings>(
    args: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> Result<Invocation<S>, UsageError> {
    let args: Vec<OsString> = args.into_iter().map(Into::into).collect();
    if let Some(settings) = parse_healthcheck(&args) {
        return Ok(Invocation::CheckHealth(settings));
    }
    let mut command = command::<S>();
    let matches = command.try_get_matches_from_mut(args).map_err(|error| UsageError::new(&error, &command))?;
    let settings = S::from_arg_matches(&matches).map_err(|error| UsageError::new(&error, &command))?;
    let is_healthcheck = matches.subcommand_name().is_some();
    Ok(if is_healthcheck { Invocation::CheckHealth(settings) } else { Invocation::Serve(settings) })
}

/// Parses the settings of a healthcheck. It runs with the service's variables and fewer flags: a variable that it makes no
/// use of, and which needs another flag or is invalid, must not make the service unhealthy. Returns `None` if it is none, or
/// if its arguments are wrong.
fn parse_healthcheck<S: Settings>(args: &[OsString]) -> Option<S> {
    // Nearly always the service itself is started.
    if !args.iter().any(|arg| arg == HEALTHCHECK) {
        return None;
    }
    let mut command = command::<S>().mut_args(|arg| {
        let is_used = arg.get_long().is_some_and(|long| OF_HEALTHCHECK.contains(&long));
        if is_used { arg } else { arg.env(Resettable::Reset) }
    });
    let matches = command.try_get_matches_from_mut(args).ok()?;
    matches.subcommand_name()?;
    S::from_arg_matches(&matches).ok()
}

/// Returns the command line of a service: [`CommandFactory::command`](clap::CommandFactory::command) with the names and
/// defaults that follow from its [`Settings`].
pub fn command<S: Settings>() -> clap::Command {
    S::command()
        .name(S::NAME)
        .subcommand(
            clap::Command::new(HEALTHCHECK)
                .about("Ask the service at the --listen address for its health, and exit with 0 or 1"),
        )
        .mut_arg("listen", |arg| arg.required(false).default_value(format!("127.0.0.1:{}", S::PORT)))
        .mut_args(|arg| match arg.get_long() {
            // Every flag has a variable. Flags whose variable is shared with other programs name it themselves.
            Some(long) if arg.get_env().is_none() && long != "help" && long != "version" => {
                let name = variable(S::NAME, long);
                arg.env(name)
            }
            _ => arg,
        })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::{
        serve::{ServeContext, ServeError},
        settings::{EX_USAGE, Listen, ServiceArgs, arg_of},
    };

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

        async fn serve(self, _: ServeContext) -> Result<(), ServeError> {
            Ok(())
        }
    }

    #[test]
    fn a_flag_has_a_default_and_a_variable() {
        let Invocation::Serve(example) = parse::<Example>(["example"]).unwrap() else { panic!("not a healthcheck") };
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
            (&["x", "--deadline", "0s"], &["'0s'", "--deadline", "above 0"]),
            (&["x", "--drain", "soon"], &["'soon'", "--drain"]),
            (
                &["x", "--max-in-flight", "0"],
                &["'0'", "--max-in-flight", "EXAMPLE_SERVICE_MAX_IN_FLIGHT", "1 to 1000000"],
            ),
            (&["x", "--log", "loud"], &["'loud'", "--log", "info"]),
            (&["x", "--log-format", "xml"], &["'xml'", "text or json"]),
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
        let invocation = parse::<Example>(["x", "healthcheck", "--listen", "127.0.0.1:7"]).unwrap();
        let Invocation::CheckHealth(example) = invocation else { panic!("a healthcheck") };
        assert_eq!(example.service.listen, Listen::Address(([127, 0, 0, 1], 7).into()));
    }

    #[test]
    fn help_has_exit_code_0() {
        assert_eq!(parse::<Example>(["x", "--help"]).unwrap_err().exit_code, 0);
    }
}
