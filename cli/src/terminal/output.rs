//! The flags for output that all commands share.

use clap::Args;

use crate::terminal::capabilities::{ColorChoice, Terminal};

/// The flags for output.
#[derive(Args, Clone, Debug)]
pub struct OutputArgs {
    /// Print one JSON document in place of text
    #[arg(long)]
    pub json: bool,

    /// When to use colours
    #[arg(long, value_enum, value_name = "WHEN", default_value_t)]
    pub color: ColorChoice,

    /// Draw with ASCII characters only (the default unless the locale is UTF-8)
    #[arg(long)]
    pub ascii: bool,
}

// === impl OutputArgs ===

impl OutputArgs {
    /// Returns what standard output can show, within what the flags allow.
    pub fn terminal(&self) -> Terminal {
        Terminal::of_stdout(self.color, self.ascii)
    }
}
