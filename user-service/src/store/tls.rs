//! TLS to PostgreSQL: the files that it needs, and what a failed handshake means.

use std::{fmt::Write as _, fs, io, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls::{
    AlertDescription, CertificateError, RootCertStore,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject as _},
    },
};
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::error::OpenError;
use crate::database::{Certificates, Postgres, Roots};

/// The reason why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    #[error("{parameter}: cannot read {path}: {source}")]
    Unreadable { parameter: &'static str, path: String, source: io::Error },
    #[error("{parameter}: {path} has no {what} in PEM format{hint}")]
    Invalid { parameter: &'static str, path: String, what: &'static str, hint: &'static str },
    #[error("sslrootcert=system: the operating system has no trusted authorities")]
    NoSystemRoots,
}

/// What a failed handshake means.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum HandshakeError {
    #[error(
        "TLS failed: the server's certificate is of an unknown authority (sslrootcert names those that are trusted)"
    )]
    UnknownAuthority,
    #[error("TLS failed: the server's {0}")]
    Certificate(String),
    #[error("TLS failed: the server refuses the client's certificate ({0:?})")]
    Refused(AlertDescription),
    #[error("TLS failed: {0}")]
    Other(String),
}

// === impl HandshakeError ===

impl HandshakeError {
    /// Returns what the driver's error says about a handshake; `None` if it is about something else.
    pub(super) fn of(error: &io::Error) -> Option<Self> {
        let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
        Some(match error {
            rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => Self::UnknownAuthority,
            rustls::Error::InvalidCertificate(error) => Self::Certificate(words(error)),
            rustls::Error::AlertReceived(alert) if is_about_certificate(*alert) => Self::Refused(*alert),
            other => Self::Other(other.to_string()),
        })
    }
}

/// Returns the error in words, also those that rustls writes as in the code.
fn words(error: &CertificateError) -> String {
    match error {
        CertificateError::Expired => "certificate has expired".to_owned(),
        CertificateError::NotValidYet => "certificate is not valid yet".to_owned(),
        CertificateError::NotValidForName => "certificate is for another name".to_owned(),
        CertificateError::BadSignature => "certificate has a wrong signature".to_owned(),
        CertificateError::Revoked => "certificate was revoked".to_owned(),
        CertificateError::InvalidPurpose => "certificate is not for servers".to_owned(),
        error => {
            let error = error.to_string();
            if error.starts_with("certificate ") { error } else { format!("certificate is invalid: {error}") }
        }
    }
}

/// Returns whether a server ends a handshake with this because of the client's certificate.
fn is_about_certificate(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::CertificateRequired
    )
}

/// Checks the files of TLS, and returns the options to connect with. The driver reads the files again for each connection,
/// and says less about them.
pub(super) fn options(postgres: &Postgres) -> Result<PgConnectOptions, OpenError> {
    let Postgres { options, certificates: Certificates { roots, identity } } = postgres;
    let options = options.clone();
    if matches!(options.get_ssl_mode(), PgSslMode::Disable) {
        return Ok(options);
    }
    if let Some((certificate, key)) = identity {
        certificates("sslcert", certificate).map_err(OpenError::unusable)?;
        private_key("sslkey", key).map_err(OpenError::unusable)?;
    }
    match roots {
        None => Ok(options),
        Some(Roots::File(path)) => {
            certificates("sslrootcert", path).map_err(OpenError::unusable)?;
            Ok(options)
        }
        Some(Roots::System) => {
            let roots = system_roots().ok_or(FileError::NoSystemRoots).map_err(OpenError::unusable)?;
            Ok(options.ssl_root_cert_from_pem(roots.into_bytes()))
        }
    }
}

/// Returns the modes to try, one after another. The driver knows only the first of each: it never encrypts for `allow`,
/// and gives up if the handshake fails for `prefer`.
pub(super) fn attempts(mode: PgSslMode) -> &'static [PgSslMode] {
    match mode {
        PgSslMode::Disable => &[PgSslMode::Disable],
        PgSslMode::Allow => &[PgSslMode::Disable, PgSslMode::Require],
        PgSslMode::Prefer => &[PgSslMode::Prefer, PgSslMode::Disable],
        PgSslMode::Require => &[PgSslMode::Require],
        PgSslMode::VerifyCa => &[PgSslMode::VerifyCa],
        PgSslMode::VerifyFull => &[PgSslMode::VerifyFull],
    }
}

/// Returns whether the connection may succeed with TLS if it failed without it, or the other way round: the handshake
/// failed, or the server has no rule that lets such a connection in.
pub(super) fn depends_on_encryption(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Tls(_) => true,
        sqlx::Error::Io(error) => HandshakeError::of(error).is_some(),
        sqlx::Error::Database(error) => error.code().is_some_and(|code| code.starts_with("28")),
        _ => false,
    }
}

fn certificates(parameter: &'static str, path: &Path) -> Result<(), FileError> {
    let pem = read(parameter, path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(()),
        _ => Err(FileError::Invalid { parameter, path: path.display().to_string(), what: "certificate", hint: "" }),
    }
}

fn private_key(parameter: &'static str, path: &Path) -> Result<(), FileError> {
    let pem = read(parameter, path)?;
    let hint = match PrivateKeyDer::from_pem_slice(&pem) {
        Ok(_) => return Ok(()),
        Err(pem::Error::NoItemsFound) if pem.windows(9).any(|it| it == b"ENCRYPTED") => ": it is encrypted",
        Err(_) => "",
    };
    Err(FileError::Invalid { parameter, path: path.display().to_string(), what: "private key", hint })
}

fn read(parameter: &'static str, path: &Path) -> Result<Vec<u8>, FileError> {
    fs::read(path).map_err(|source| FileError::Unreadable { parameter, path: path.display().to_string(), source })
}

/// Returns the authorities that the operating system trusts, in PEM format; `None` if there are none.
fn system_roots() -> Option<String> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!(%error, "a certificate of the operating system cannot be read");
    }
    let mut pem = String::new();
    for certificate in found.certs {
        // The driver would refuse them all for one that it cannot read.
        if RootCertStore::empty().add(certificate.clone()).is_ok() {
            let encoded = STANDARD.encode(&certificate);
            let _ = writeln!(pem, "-----BEGIN CERTIFICATE-----\n{encoded}\n-----END CERTIFICATE-----");
        }
    }
    (!pem.is_empty()).then_some(pem)
}
