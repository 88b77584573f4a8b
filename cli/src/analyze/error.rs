//! What can go wrong with `fanout analyze`.

use std::{io, path::PathBuf, process::ExitCode};

use super::input::Failure;

/// Why nothing was analysed, or not shown.
#[derive(Debug, thiserror::Error)]
pub enum AnalyzeError {
    /// No input has a span.
    #[error("no traces in {inputs}")]
    NoTraces {
        /// The inputs.
        inputs: String,
        /// What was wrong with them, if anything was.
        failure: Failure,
    },
    /// No trace has the id that is asked for.
    #[error("no trace has an id that begins with {prefix}; there are {known}")]
    UnknownTrace {
        /// How the id was to begin.
        prefix: String,
        /// Some that are there.
        known: String,
    },
    /// The picture cannot be written.
    #[error("cannot write {}: {source}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system reports.
        source: io::Error,
    },
    /// Standard output cannot be written.
    #[error("cannot write the result: {0}")]
    Output(io::Error),
    /// The result cannot be serialized.
    #[error("cannot write the result: {0}")]
    Json(serde_json::Error),
}

// === impl AnalyzeError ===

impl AnalyzeError {
    /// Returns the exit code, from BSD's `sysexits.h`.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::UnknownTrace { .. } => ExitCode::from(64),
            Self::NoTraces { failure, .. } => (*failure).into(),
            Self::Json(_) => ExitCode::from(70),
            Self::Write { .. } => ExitCode::from(73),
            Self::Output(_) => ExitCode::from(74),
        }
    }
}
