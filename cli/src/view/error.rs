//! What can go wrong with `fanout view`.

use std::{io, net::SocketAddr, process::ExitCode};

use service_kit::telemetry::TelemetryError;

use crate::gateway_client::tls::BadTlsFile;

/// Why the viewer could not start.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// An address cannot be listened on, such as one in use.
    #[error("cannot listen on {address} for {what}: {source}; choose another with --{flag}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What is there.
        what: &'static str,
        /// The flag that sets it, without dashes.
        flag: &'static str,
        /// What the operating system reports.
        source: io::Error,
    },
    /// `--listen stdin` was given, and standard input hands nothing over.
    #[error("standard input hands no listeners over: {0}; --listen stdin is for `fanout up`")]
    NotInherited(io::Error),
    /// A file for TLS with the gateway cannot be used.
    #[error(transparent)]
    Tls(#[from] BadTlsFile),
    /// The log cannot be started.
    #[error(transparent)]
    Log(#[from] TelemetryError),
    /// The viewer itself cannot start.
    #[error(transparent)]
    Viewer(#[from] viewer::ViewerError),
    /// The operating system refuses something else.
    #[error("cannot start: {0}")]
    Io(#[from] io::Error),
}

// === impl ViewError ===

impl ViewError {
    /// Returns the exit code of the program.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Tls(_) => ExitCode::from(64),
            Self::Log(error) => ExitCode::from(error.exit_code()),
            Self::Listen { .. } | Self::NotInherited(_) | Self::Viewer(_) | Self::Io(_) => ExitCode::FAILURE,
        }
    }
}
