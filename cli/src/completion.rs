//! How a command ends.

use std::{io, process::ExitCode};

use crate::{
    analyze::Failure,
    gateway_client::{connector::Unreachable, tls::BadTlsFile},
    terminal::text_layout::printable,
};

/// How a command ended that could do its work.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Completion {
    /// Everything succeeded.
    Success,
    /// Requests failed: at least one for `compare`, all for `load`.
    RequestsFailed,
    /// Joining calls would save more than is allowed (`analyze`).
    LimitExceeded,
    /// What could be read was analysed, but not everything could be read (`analyze`).
    BrokenInput(Failure),
    /// A service ended with this code.
    Service(ExitCode),
}

/// Why `compare` or `load` could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nothing answers at the gateway's address.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// A file for TLS cannot be used.
    #[error(transparent)]
    Tls(#[from] BadTlsFile),
    /// The gateway finds the request invalid, for the given reason.
    #[error("the gateway rejects the request: {}", printable(.0))]
    Rejected(String),
    /// Standard output cannot be written.
    #[error("cannot write the result: {0}")]
    Output(#[from] io::Error),
    /// The result cannot be serialized.
    #[error("cannot write the result: {0}")]
    Json(#[from] serde_json::Error),
}

// === impl Completion ===

impl From<Completion> for ExitCode {
    fn from(completion: Completion) -> Self {
        match completion {
            Completion::Success => Self::SUCCESS,
            Completion::RequestsFailed | Completion::LimitExceeded => Self::FAILURE,
            Completion::BrokenInput(failure) => failure.into(),
            Completion::Service(code) => code,
        }
    }
}

// === impl ClientError ===

impl ClientError {
    /// Returns the exit code, from BSD's `sysexits.h`.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Rejected(_) | Self::Tls(_) => ExitCode::from(64),
            Self::Unreachable(_) => ExitCode::from(69),
            Self::Json(_) => ExitCode::from(70),
            Self::Output(_) => ExitCode::from(74),
        }
    }
}
