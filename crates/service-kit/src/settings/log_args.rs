//! What is logged, and how.

use tracing_subscriber::{EnvFilter, filter::LevelFilter};

/// The flags of the log.
#[derive(Clone, Debug, clap::Args)]
pub struct LogArgs {
    /// What is logged: a level (error, warn, info, debug, trace) or directives such as `info,h2=debug`
    #[arg(long, default_value = "info", value_parser = parse_filter, value_name = "FILTER")]
    pub log: String,
    /// The format of log lines
    #[arg(long, default_value = "text", value_name = "FORMAT")]
    pub log_format: LogFormat,
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people: time, level, message, fields
    #[default]
    Text,
    /// For machines: a JSON object per line
    Json,
}

/// Parses a filter of log lines.
///
/// # Errors
///
/// Returns an error that names what is allowed if the text is neither levels nor directives.
pub fn parse_filter(text: &str) -> Result<String, String> {
    let invalid = |error: &dyn std::fmt::Display| {
        format!("{error}: expected error, warn, info, debug, trace or off, or directives such as info,h2=debug")
    };
    // EnvFilter would take `loud` for a target, and log nothing.
    let known = |part: &str| part.contains('=') || part.contains('[') || part.parse::<LevelFilter>().is_ok();
    if let Some(part) = text.split(',').find(|part| !known(part.trim())) {
        return Err(invalid(&format_args!("{part:?} is neither a level nor a directive")));
    }
    text.parse::<EnvFilter>().map_err(|error| invalid(&error))?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_would_log_nothing_is_rejected() {
        assert!(parse_filter("info").is_ok());
        assert!(parse_filter("warn,h2=debug").is_ok());
        assert!(parse_filter("loud").unwrap_err().contains("\"loud\""));
        assert!(parse_filter("h2=loud").unwrap_err().contains("expected error, warn"));
    }
}
