//! The error of telemetry that cannot be set up.

use std::{io, net::SocketAddr};

use crate::settings::EX_USAGE;

/// The reason why telemetry cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// An environment variable has an invalid value.
    #[error("{name} is {value:?}: {allowed}")]
    Setting {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: String,
        /// What is allowed.
        allowed: &'static str,
    },
    /// An environment variable with a secret has an invalid value.
    #[error("{name} is invalid: {wrong}")]
    Secret {
        /// The variable.
        name: &'static str,
        /// What is wrong, without the value.
        wrong: String,
    },
    /// An environment variable names a file that cannot be used.
    #[error("{name} is {path:?}, which {wrong}")]
    File {
        /// The variable.
        name: &'static str,
        /// The path of the file.
        path: String,
        /// What is wrong with it.
        wrong: String,
    },
    /// An exporter cannot be created from the environment variables.
    #[error("no exporter can be created from the OTEL_EXPORTER_OTLP_* settings: {0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    /// The collector of spans cannot be called as the environment variables say.
    #[error("no exporter can be created from the OTEL_EXPORTER_OTLP_* settings: {0}")]
    Collector(String),
    /// Metrics cannot be served at this address, such as for a port in use.
    #[error("cannot listen on {address} for metrics: {source}; choose another with OTEL_EXPORTER_PROMETHEUS_PORT")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The thread that writes the log cannot be started.
    #[error("cannot start a thread for the log: {0}")]
    Log(#[source] io::Error),
}

// === impl TelemetryError ===

impl TelemetryError {
    /// Returns the exit code: 64 for a bad setting, 1 if the operating system refuses it.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Setting { .. } | Self::Secret { .. } | Self::File { .. } | Self::Exporter(_) | Self::Collector(_) => {
                EX_USAGE
            }
            Self::Listen { .. } | Self::Log(_) => 1,
        }
    }
}
