//! The flags of `fanout up`.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use fault_injection::Distribution;
use service_kit::settings::{LogFormat, duration, parse_filter};

use crate::{services::ports::Ports, terminal::output::OutputArgs};

/// The flags of `fanout up`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  fanout up
  fanout up --delay 500ms --any-port
  fanout up --port gateway=51051 --delay p50=20ms,p99=200ms
  fanout up --tls
  fanout up --log info")]
pub struct UpArgs {
    /// How long the backends take to reply: 3s, 300ms±30ms, p50=20ms,p99=200ms, or 0
    #[arg(long, default_value = "3s", value_name = "DELAY")]
    pub delay: Distribution,

    /// The directory for the users' database `users.db` and for certificates; created if missing
    #[arg(long, default_value = "fanout-data", value_name = "DIRECTORY")]
    pub data_dir: PathBuf,

    /// Where the services listen.
    #[command(flatten)]
    pub ports: Ports,

    /// The port of the viewer's page; 0 picks a free one [default: 8080, or a free one if that is in use]
    #[arg(long, value_name = "PORT")]
    pub view_port: Option<u16>,

    /// Start no viewer, and send no traces to it
    #[arg(long, conflicts_with = "view_port")]
    pub no_view: bool,

    /// Encrypt everything: makes an authority and certificates in the data directory, and runs every service with them.
    /// Only the gateway may call the others
    #[arg(long)]
    pub tls: bool,

    /// How long requests in flight may take to finish after Ctrl-C
    #[arg(long, default_value = "10s", value_parser = duration, value_name = "DURATION")]
    pub drain: Duration,

    /// Show every log line that passes this filter, in place of one line for each request of the gateway: a level
    /// (error, warn, info, debug, trace) or directives such as `info,h2=debug`
    #[arg(long, value_parser = parse_filter, value_name = "FILTER")]
    pub log: Option<String>,

    /// The format of log lines; json shows every line
    #[arg(long, default_value = "text", value_name = "FORMAT")]
    pub log_format: LogFormat,

    /// How to show what runs.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Which log lines `fanout up` shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LogView {
    /// One line for each request of the gateway, warnings and errors.
    Short,
    /// Every line that passes the filter, as the service wrote it.
    Full {
        /// The filter of all services.
        filter: String,
        /// The format of all services.
        format: LogFormat,
    },
}

// === impl UpArgs ===

impl UpArgs {
    /// Returns which log lines to show.
    pub(super) fn log_view(&self) -> LogView {
        let format = if self.output.json { LogFormat::Json } else { self.log_format };
        match (&self.log, format) {
            (None, LogFormat::Text) => LogView::Short,
            (filter, format) => LogView::Full { filter: filter.clone().unwrap_or_else(|| "info".to_owned()), format },
        }
    }

    /// Returns whether `up` says how it stops; a program that reads JSON lines gets no other lines after the first.
    pub(super) fn prints_text(&self) -> bool {
        !self.output.json && self.log_format == LogFormat::Text
    }
}
