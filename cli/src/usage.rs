//! What is wrong with a command line, in one line and with exit code 64.

use clap::Parser;
use service_kit::settings::UsageError;

/// Reads the command line. Help and version are printed, and what is wrong is said; either ends the process.
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
    fn a_bad_flag_is_one_line_with_what_is_allowed() {
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
            "invalid value 'soon' for '--timeout <TIME>': a time above 0 is wanted, such as 500ms, 30s or 2m"
        );
        assert!(wrong(&["load", "--callers", "0"]).starts_with("invalid value '0' for '--callers <N>'"));
        assert!(wrong(&["load", "--rate", "1", "--callers", "2"]).contains("cannot be used with"));
    }
}
