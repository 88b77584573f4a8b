//! What can go wrong with `fanout certs`.

use std::{io, path::PathBuf, process::ExitCode};

/// Why no certificates could be made.
#[derive(Debug, thiserror::Error)]
pub enum CertsError {
    /// The directory or a file in it cannot be written.
    #[error("cannot write {}: {source}", .path.display())]
    Write {
        /// What cannot be written.
        path: PathBuf,
        /// What the operating system reports.
        source: io::Error,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system reports.
        source: io::Error,
    },
    /// A file is not what its name says.
    #[error("{} holds no {expected}: mend it, or make a new authority with --force", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What it has to hold.
        expected: &'static str,
    },
    /// One of the authority's two files is missing.
    #[error(
        "{} is there without {}, so that the authority cannot sign: add the file, choose another directory, or make a \
         new authority with --force", .present.display(), .missing.display()
    )]
    Incomplete {
        /// The file that is there.
        present: PathBuf,
        /// The file that is missing.
        missing: PathBuf,
    },
    /// The authority's key belongs to another certificate.
    #[error(
        "{} is not the key of a certificate in {}: mend it, or make a new authority with --force",
        .key.display(), .certificate.display()
    )]
    OtherKey {
        /// The key.
        key: PathBuf,
        /// The certificate.
        certificate: PathBuf,
    },
    /// The authority has expired.
    #[error("{} has expired at {at}: make a new authority with --force, and give it to all callers", .path.display())]
    Expired {
        /// The authority's certificate.
        path: PathBuf,
        /// When, as RFC 3339 has it.
        at: String,
    },
    /// A file that would be replaced was not made by the authority.
    #[error(
        "{} was not signed by the authority of its directory: choose another directory, or replace it with --force",
        .0.display()
    )]
    NotOurs(PathBuf),
    /// A key or certificate cannot be made.
    #[error("cannot make a certificate: {0}")]
    Signing(#[from] rcgen::Error),
    /// Standard output cannot be written.
    #[error("cannot write the result: {0}")]
    Output(#[source] io::Error),
}

// === impl CertsError ===

impl CertsError {
    /// Returns whether the directory holds something that `--force` replaces.
    pub fn is_about_content(&self) -> bool {
        match self {
            Self::Malformed { .. }
            | Self::Incomplete { .. }
            | Self::OtherKey { .. }
            | Self::Expired { .. }
            | Self::NotOurs(_) => true,
            Self::Read { .. } | Self::Signing(_) | Self::Write { .. } | Self::Output(_) => false,
        }
    }

    /// Returns the exit code, from BSD's `sysexits.h`.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Malformed { .. }
            | Self::Incomplete { .. }
            | Self::OtherKey { .. }
            | Self::Expired { .. }
            | Self::NotOurs(_) => 65,
            Self::Read { .. } => 66,
            Self::Signing(_) => 70,
            Self::Write { .. } => 73,
            Self::Output(_) => 74,
        })
    }
}
