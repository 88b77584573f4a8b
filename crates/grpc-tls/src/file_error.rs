//! Why a file with a certificate, a key or authorities cannot be used.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileRole {
    /// The own certificate, followed by its intermediates.
    Certificate,
    /// The private key of that certificate.
    Key,
    /// The authorities that may sign the certificates of peers.
    Authorities,
}

/// A file that cannot be used. Its message says what is wrong and what is allowed, without the file's name.
#[derive(Debug, thiserror::Error)]
#[error("{problem}: expected {role}")]
pub struct FileError {
    /// The file.
    pub file: PathBuf,
    /// What it is for.
    pub role: FileRole,
    problem: Problem,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    #[error("{}", reason(.0))]
    Unreadable(#[source] io::Error),
    #[error("it is not PEM: {0}")]
    NotPem(String),
    #[error("it has no certificate")]
    NoCertificate,
    #[error("it has no private key")]
    NoKey,
    #[error("its key is encrypted")]
    EncryptedKey,
    #[error("its key does not belong to the certificate in {}", .0.display())]
    KeyMismatch(PathBuf),
    #[error("its certificate {number} cannot be used: {reason}")]
    Certificate { number: usize, reason: String },
    #[error("its key cannot be used: {0}")]
    Key(String),
}

// === impl FileError ===

impl FileError {
    pub(crate) fn new(file: &Path, role: FileRole, problem: Problem) -> Self {
        Self { file: file.to_owned(), role, problem }
    }
}

/// Returns the plain words for the errors that a mistyped path causes.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "no permission to read it".to_owned(),
        io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
        _ => error.to_string(),
    }
}

// === impl FileRole ===

impl fmt::Display for FileRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate => "a PEM file with a certificate, then its intermediates (BEGIN CERTIFICATE)",
            Self::Key => "a PEM file with the certificate's private key, not encrypted (BEGIN PRIVATE KEY)",
            Self::Authorities => "a PEM file with the certificates of authorities (BEGIN CERTIFICATE)",
        })
    }
}
