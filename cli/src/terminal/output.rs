//! How results are shown: the flags that all commands share.

use clap::Args;

use crate::terminal::capabilities::{ColorChoice, Terminal};

/// How to show the results.
#[derive(Args, Clone, Debug)]
pub struct OutputArgs {
    /// Print one JSON document instead
    #[arg(long)]
    pub json: bool,

    /// When to use colours
    #[arg(long, value_enum, value_name = "WHEN", default_value_t)]
    pub color: ColorChoice,

    /// Draw with ASCII characters only, as without a UTF-8 locale
    #[arg(long)]
    pub ascii: bool,
}

// === impl OutputArgs ===

impl OutputArgs {
    /// What standard output can show, as far as the flags allow.
    pub fn terminal(&self) -> Terminal {
        Terminal::of_stdout(self.color, self.ascii)
    }
}
