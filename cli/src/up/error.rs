//! What can go wrong with `fanout up`.

use std::{io, path::PathBuf, process::ExitCode, time::Duration};

use service_kit::{process::EX_TEMPFAIL, telemetry::TelemetryError};

use crate::{certs::CertsError, terminal::text_layout::counted, up::child_exit::ChildExit};

/// Why `fanout up` ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum UpError {
    /// A port cannot be listened on, such as one in use.
    #[error("cannot listen on port {port} for the {service}: {source}; choose another with --{flag}, or --any-port")]
    Port {
        /// The port.
        port: u16,
        /// The service that was to listen there.
        service: &'static str,
        /// The flag that sets it, without dashes.
        flag: String,
        /// What the operating system reports.
        source: io::Error,
    },
    /// The directory for the users' database cannot be created.
    #[error("cannot create the directory {}: {source}; choose another with --data-dir", .path.display())]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// What the operating system reports.
        source: io::Error,
    },
    /// There are no certificates for `--tls`.
    #[error("cannot make the certificates for --tls: {0}")]
    Certificates(#[from] CertsError),
    /// The environment contains invalid settings for metrics.
    #[error(transparent)]
    Metrics(#[from] TelemetryError),
    /// A service's process cannot be started or waited for.
    #[error("cannot start a process: {0}")]
    Process(#[from] io::Error),
    /// A service ended by itself.
    #[error("{0}; the others are stopped too")]
    Exited(ChildExit),
    /// Requests were cut off.
    #[error("stopped {}: {}", if *.at_once { "at once" } else { "after the drain" }, cut_off_text(*.requests))]
    CutOff {
        /// How many requests were cut off, if the log says it.
        requests: Option<u64>,
        /// Whether a second signal has ended the drain.
        at_once: bool,
    },
    /// A service did not become healthy in time.
    #[error("the {service} is not healthy after {} s: {reason}", .after.as_secs())]
    Unhealthy {
        /// The service's name.
        service: &'static str,
        /// How long it had.
        after: Duration,
        /// The result of the last health check.
        reason: String,
    },
}

// === impl UpError ===

impl UpError {
    /// Returns the exit code of the program.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Certificates(error) => error.exit_code(),
            Self::Metrics(error) => ExitCode::from(error.exit_code()),
            Self::CutOff { .. } => ExitCode::from(EX_TEMPFAIL),
            Self::Port { .. } | Self::DataDir { .. } | Self::Process(_) | Self::Exited(_) | Self::Unhealthy { .. } => {
                ExitCode::FAILURE
            }
        }
    }
}

fn cut_off_text(requests: Option<u64>) -> String {
    match requests {
        Some(1) => "1 request was cut off".to_owned(),
        Some(requests) => format!("{} were cut off", counted(requests, "request")),
        None => "requests in flight were cut off".to_owned(),
    }
}
