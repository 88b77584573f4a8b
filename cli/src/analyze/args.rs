//! The flags of `fanout analyze`.

use std::{path::PathBuf, str::FromStr, time::Duration};

use clap::{Args, ValueEnum};
use service_kit::settings::whole_number;

use super::help;
use crate::terminal::output::OutputArgs;

/// The flags of `fanout analyze`.
#[derive(Args, Clone, Debug)]
#[command(after_help = help::EXAMPLES, after_long_help = help::long())]
pub struct AnalyzeArgs {
    /// Files with traces, directories of them, or - for standard input
    #[arg(value_name = "FILE", required = true)]
    pub(super) files: Vec<PathBuf>,

    /// Fail with exit code 1 if joining would save more than this, in a trace or an operation
    #[arg(long, value_name = "TIME", value_parser = max_avoidable)]
    pub(super) max_avoidable: Option<Duration>,

    /// Show only the trace whose id begins with this
    #[arg(long, value_name = "ID")]
    pub(super) trace: Option<TracePrefix>,

    /// How many operations to show, and the worst trace of each; by default 5 as text, otherwise all
    #[arg(long, value_name = "N", value_parser = whole_number::<usize>(1, 1_000_000))]
    limit: Option<usize>,

    /// How to show what was found
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Text, conflicts_with = "json")]
    format: Format,

    /// Write a picture of the worst trace, or of that of --trace, into this file
    #[arg(long, value_name = "FILE")]
    pub(super) svg: Option<PathBuf>,

    /// How to show the text.
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

/// The form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Drawings and sentences
    Text,
    /// One JSON document, as with --json
    Json,
    /// Annotations for a workflow on GitHub
    Github,
    /// A JUnit report: a test for each operation
    Junit,
}

/// How the id of a trace begins: lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracePrefix(pub(super) String);

/// Operations that are shown as text.
const DEFAULT_LIMIT: usize = 5;

// === impl AnalyzeArgs ===

impl AnalyzeArgs {
    pub(super) fn format(&self) -> Format {
        if self.output.json { Format::Json } else { self.format }
    }

    /// Returns how many operations are shown.
    pub(super) fn limit(&self) -> usize {
        self.limit.unwrap_or(if self.format() == Format::Text { DEFAULT_LIMIT } else { usize::MAX })
    }
}

// === impl TracePrefix ===

impl FromStr for TracePrefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_id = (1..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_id.then(|| Self(text.to_ascii_lowercase())).ok_or_else(|| "expected 1 to 32 hexadecimal digits".to_owned())
    }
}

fn max_avoidable(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| "expected a time such as 100ms or 1.5s".to_owned())
}
