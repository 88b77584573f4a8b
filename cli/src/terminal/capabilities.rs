//! What the terminal can show.

use std::{
    env,
    io::{self, IsTerminal},
};

use clap::ValueEnum;

use crate::terminal::style::{Charset, Style};

/// Narrower output would not be readable; a narrower terminal breaks the lines itself.
const MIN_WIDTH: usize = 40;
/// Rows wider than this are hard to follow.
const MAX_WIDTH: usize = 160;
/// The width if it is unknown.
const DEFAULT_WIDTH: usize = 80;

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set
    #[default]
    Auto,
    /// Even into a file or a pipe
    Always,
    /// Never
    Never,
}

/// The size of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// The number of characters in a row.
    pub columns: usize,
    /// The number of rows.
    pub rows: usize,
}

/// The width and style of standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terminal {
    /// The number of columns.
    pub width: usize,
    /// What can be shown.
    pub style: Style,
}

// === impl Terminal ===

impl Terminal {
    /// Detects what standard output can show, from its size and the environment
    /// (`COLUMNS`, `LC_ALL`, `LC_CTYPE`, `LANG`, `NO_COLOR`, `TERM`).
    pub fn of_stdout(choice: ColorChoice, ascii: bool) -> Self {
        let size = terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
        let unicode = !ascii && (cfg!(windows) || is_utf8(variable));
        let charset = if unicode { Charset::Unicode } else { Charset::Ascii };
        let colour = wants_colour(choice, io::stdout().is_terminal(), variable);
        Self { width: width(variable, size), style: Style { charset, colour } }
    }
}

/// Returns whether standard output is a terminal that can rewrite a line.
pub fn stdout_is_live() -> bool {
    io::stdout().is_terminal() && variable("TERM").as_deref() != Some("dumb")
}

/// Returns the size of standard output if it is a terminal that can be redrawn.
pub fn stdout_size() -> Option<Size> {
    let (width, height) = terminal_size::terminal_size_of(io::stdout()).filter(|_| stdout_is_live())?;
    Some(Size { columns: width.0.into(), rows: height.0.into() }).filter(|size| size.columns > 0 && size.rows > 0)
}

/// Returns whether standard error is a terminal that can rewrite a line.
pub fn stderr_is_live() -> bool {
    io::stderr().is_terminal() && variable("TERM").as_deref() != Some("dumb")
}

/// Returns an environment variable, unless it is unset or empty.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn width(variable: impl Fn(&str) -> Option<String>, size: Option<usize>) -> usize {
    let columns = variable("COLUMNS").and_then(|columns| columns.parse().ok()).filter(|columns| *columns > 0);
    columns.or(size).unwrap_or(DEFAULT_WIDTH).clamp(MIN_WIDTH, MAX_WIDTH)
}

/// Returns whether the locale uses UTF-8. By POSIX, the first of the three variables that is set decides.
fn is_utf8(variable: impl Fn(&str) -> Option<String>) -> bool {
    ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(variable).is_some_and(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

fn wants_colour(choice: ColorChoice, is_terminal: bool, variable: impl Fn(&str) -> Option<String>) -> bool {
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        // https://no-color.org: set to anything but the empty string.
        ColorChoice::Auto => {
            is_terminal && variable("NO_COLOR").is_none() && variable("TERM").as_deref() != Some("dumb")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        move |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn the_width_is_columns_then_the_terminal_then_80() {
        assert_eq!(width(environment(&[("COLUMNS", "100")]), Some(120)), 100);
        assert_eq!(width(environment(&[("COLUMNS", "wide")]), Some(120)), 120);
        assert_eq!(width(environment(&[]), None), 80);
        assert_eq!(width(environment(&[("COLUMNS", "3")]), None), 40);
        assert_eq!(width(environment(&[]), Some(1000)), 160);
    }

    #[test]
    fn the_first_locale_variable_that_is_set_decides() {
        assert!(is_utf8(environment(&[("LANG", "en_GB.UTF-8")])));
        assert!(is_utf8(environment(&[("LC_CTYPE", "C.utf8"), ("LANG", "C")])));
        assert!(!is_utf8(environment(&[("LC_ALL", "C"), ("LANG", "en_GB.UTF-8")])));
        assert!(!is_utf8(environment(&[])));
    }

    #[test]
    fn colours_are_for_terminals_by_default() {
        let nothing = environment(&[]);
        assert!(wants_colour(ColorChoice::Auto, true, &nothing));
        assert!(!wants_colour(ColorChoice::Auto, false, &nothing));
        assert!(wants_colour(ColorChoice::Always, false, environment(&[("NO_COLOR", "1")])));
        assert!(!wants_colour(ColorChoice::Never, true, &nothing));
        assert!(!wants_colour(ColorChoice::Auto, true, environment(&[("NO_COLOR", "1")])));
        assert!(!wants_colour(ColorChoice::Auto, true, environment(&[("TERM", "dumb")])));
    }
}
