//! The one-line error for a bad setting.

use std::error::Error as _;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use grpc_tls::FileError;

/// BSD's `EX_USAGE`: the exit code of a command that was used wrongly.
pub const EX_USAGE: u8 = 64;

/// A setting that cannot be used, as one line; or a request for help.
#[derive(Debug)]
pub struct UsageError {
    /// The text to print.
    pub message: String,
    /// The exit code. 0 if help or the version was requested.
    pub exit_code: u8,
}

// === impl UsageError ===

impl UsageError {
    /// Describes clap's error in one line: what is wrong, what was given, what is allowed, and what may have been meant.
    ///
    /// An environment variable of the same meaning is named too, because the value may have come from it. The value of
    /// a flag whose variable is hidden in `--help`, such as a database's URL with its password, is not repeated.
    pub fn new(error: &clap::Error, command: &clap::Command) -> Self {
        if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
            return Self { message: error.render().to_string(), exit_code: 0 };
        }
        Self { message: describe(error, command), exit_code: EX_USAGE }
    }
}

/// Returns the line for a file that cannot be used, with the flag of the service `name` that names it.
pub(crate) fn bad_file(name: &str, flag: &str, error: &FileError) -> String {
    let variable = variable(name, flag);
    format!("invalid value '{}' for '--{flag} <FILE>' or {variable}: {error}", error.file.display())
}

/// Returns the name of the environment variable of a service's flag.
pub(crate) fn variable(service: &str, flag: &str) -> String {
    format!("{service}_{flag}").replace('-', "_").to_uppercase()
}

fn describe(error: &clap::Error, command: &clap::Command) -> String {
    match (error.kind(), text(error, ContextKind::InvalidValue)) {
        (ErrorKind::InvalidSubcommand, _) => unknown_command(error, command),
        (ErrorKind::UnknownArgument, _) => unknown_argument(error),
        (ErrorKind::MissingRequiredArgument, _) => missing_argument(error),
        (ErrorKind::InvalidValue | ErrorKind::ValueValidation, Some(value)) if !value.is_empty() => {
            invalid_value(error, command, value)
        }
        _ => first_paragraph(error),
    }
}

fn unknown_command(error: &clap::Error, command: &clap::Command) -> String {
    let given = text(error, ContextKind::InvalidSubcommand).unwrap_or_default();
    let meant = did_you_mean(error, ContextKind::SuggestedSubcommand).unwrap_or_else(|| {
        let names = command.get_subcommands().filter(|command| !command.is_hide_set()).map(clap::Command::get_name);
        format!(": expected {}", one_of(&names.collect::<Vec<_>>()))
    });
    format!("unknown command '{given}'{meant}")
}

fn unknown_argument(error: &clap::Error) -> String {
    let given = text(error, ContextKind::InvalidArg).unwrap_or_default();
    let noun = if given.starts_with('-') { "flag" } else { "argument" };
    let meant =
        did_you_mean(error, ContextKind::SuggestedArg).unwrap_or_else(|| ": --help lists what there is".to_owned());
    format!("unknown {noun} '{given}'{meant}")
}

fn missing_argument(error: &clap::Error) -> String {
    match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::Strings(names)) if !names.is_empty() => {
            let names: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
            format!("missing {}: --help says what it is", names.join(" and "))
        }
        _ => first_paragraph(error),
    }
}

fn invalid_value(error: &clap::Error, command: &clap::Command, value: &str) -> String {
    let name = text(error, ContextKind::InvalidArg).unwrap_or_default();
    let arg = arg_of(name, command);
    let allowed = match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(values)) if !values.is_empty() => {
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            let meant = did_you_mean(error, ContextKind::SuggestedValue).unwrap_or_default();
            format!("expected {}{meant}", one_of(&values))
        }
        _ => error.source().map(ToString::to_string).unwrap_or_default(),
    };
    let value = if arg.is_some_and(clap::Arg::is_hide_env_values_set) { "..." } else { value };
    let variable = arg.and_then(clap::Arg::get_env);
    let variable = variable.map(|name| format!(" or {}", name.to_string_lossy())).unwrap_or_default();
    format!("invalid value '{value}' for '{name}'{variable}: {allowed}")
}

/// Returns clap's own words, without the usage and the tips that follow an empty line.
fn first_paragraph(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let first = text.split("\n\n").next().unwrap_or_default();
    let words = first.split_whitespace().collect::<Vec<_>>().join(" ");
    words.trim_start_matches("error: ").to_owned()
}

fn did_you_mean(error: &clap::Error, kind: ContextKind) -> Option<String> {
    let meant = match error.get(kind)? {
        ContextValue::String(name) => name,
        ContextValue::Strings(names) => names.first()?,
        _ => return None,
    };
    Some(format!("; did you mean '{meant}'?"))
}

/// Lists alternatives: `a`, `a or b`, `a, b or c`.
fn one_of(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [name] => (*name).to_owned(),
        [names @ .., last] => format!("{} or {last}", names.join(", ")),
    }
}

fn text(error: &clap::Error, kind: ContextKind) -> Option<&str> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text),
        _ => None,
    }
}

/// Returns the argument that clap's errors name `--name <VALUE>`, of the command or of one of its subcommands.
pub(crate) fn arg_of<'a>(name: &str, command: &'a clap::Command) -> Option<&'a clap::Arg> {
    let long = name.strip_prefix("--")?.split([' ', '=']).next()?;
    let own = command.get_arguments().find(|arg| arg.get_long() == Some(long));
    own.or_else(|| command.get_subcommands().find_map(|subcommand| arg_of(name, subcommand)))
}
