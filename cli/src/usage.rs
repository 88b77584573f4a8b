//! Errors in the command line: one line, and exit code 64.

use clap::Parser;
use service_kit::settings::UsageError;

/// Parses the command line. Ends the process after it has printed help, the version or an error.
pub fn parse<P: Parser>() -> P {
    P::try_parse().unwrap_or_else(|error| {
        if error.exit_code() == 0 {
            error.exit();
        }
        let UsageError { message, exit_code } = UsageError::new(&error, &P::command());
        eprintln!("fanout: {message}");
        std::process::exit(exit_code.into());
    })
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::*;
    use crate::command::Cli;

    #[test]
    fn an_error_is_one_line_with_the_allowed_values() {
        let wrong = |flags: &[&str]| {
            let error = Cli::try_parse_from([&["fanout"], flags].concat()).unwrap_err();
            UsageError::new(&error, &Cli::command()).message
        };
        assert_eq!(
            wrong(&["compare", "--method", "x"]),
            "invalid value 'x' for '--method <METHOD>' [possible values: get-profile, get-home-country]"
        );
        assert_eq!(
            wrong(&["compare", "--timeout", "soon"]),
            "invalid value 'soon' for '--timeout <TIME>': expected a time above 0, such as 500ms, 30s or 2m"
        );
        assert!(wrong(&["load", "--callers", "0"]).starts_with("invalid value '0' for '--callers <N>'"));
        assert!(wrong(&["load", "--rate", "1", "--callers", "2"]).contains("cannot be used with"));
    }
}
