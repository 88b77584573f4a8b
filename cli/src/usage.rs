//! What is wrong with a command line, in one line and with exit code 64.

use clap::{Error, Parser};

/// `EX_USAGE` of BSD's `sysexits.h`.
pub const EXIT_USAGE: i32 = 64;

/// Reads the command line. Help and version are printed, and what is wrong is said; either ends the process.
pub fn parse<P: Parser>() -> P {
    P::try_parse().unwrap_or_else(|error| {
        if error.exit_code() == 0 {
            error.exit();
        }
        eprintln!("fanout: {}", one_line(&error));
        std::process::exit(EXIT_USAGE);
    })
}

/// clap's message without its hints below: the flag, the value, what is allowed.
pub fn one_line(error: &Error) -> String {
    let text = error.to_string();
    let paragraph = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<&str> = paragraph.split_whitespace().collect();
    words.join(" ").trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::command::Cli;

    #[test]
    fn a_bad_flag_is_one_line_with_what_is_allowed() {
        let wrong = |flags: &[&str]| one_line(&Cli::try_parse_from([&["fanout"], flags].concat()).unwrap_err());
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
