//! The one-line error for a bad setting.

use clap::error::{ContextKind, ContextValue, ErrorKind};

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
    /// Shortens clap's error to one line that also names the environment variable of the setting.
    pub fn new(error: &clap::Error, command: &clap::Command) -> Self {
        if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
            return Self { message: error.render().to_string(), exit_code: 0 };
        }
        let text = error.render().to_string();
        // Usage and tips follow after an empty line.
        let first = text.split("\n\n").next().unwrap_or_default();
        let words = first.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut message = words.trim_start_matches("error: ").to_owned();
        if let Some(ContextValue::String(name)) = error.get(ContextKind::InvalidArg)
            && let Some(arg) = arg_of(name, command)
        {
            // Such as the URL of a database, which has a password.
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
        Self { message, exit_code: EX_USAGE }
    }
}

/// Returns the argument that clap's errors name `--name <VALUE>`.
pub(crate) fn arg_of<'a>(name: &str, command: &'a clap::Command) -> Option<&'a clap::Arg> {
    let long = name.strip_prefix("--")?.split([' ', '=']).next()?;
    command.get_arguments().find(|arg| arg.get_long() == Some(long))
}
