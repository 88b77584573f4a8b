//! Why a caller and a gateway do not speak TLS with each other, and what to do about it.

use std::error::Error;

use grpc_tls::HandshakeError;
use rpc_layers::source;
use rustls::{AlertDescription, CertificateError, Error as TlsError};

/// What is wrong, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TlsProblem {
    pub(super) reason: String,
    pub(super) remedy: String,
}

// === impl TlsProblem ===

impl TlsProblem {
    /// Returns the problem with TLS that caused the error, if one did. `with_tls` is whether this side speaks it.
    pub(super) fn find(error: &(dyn Error + 'static), with_tls: bool) -> Option<Self> {
        if let Some(handshake) = source::find::<HandshakeError>(error) {
            return Some(Self::of(handshake));
        }
        // The server's answer in the words of HTTP/2.
        let reason = source::find::<h2::Error>(error)?.reason()?;
        match (reason == h2::Reason::INADEQUATE_SECURITY, with_tls) {
            (false, _) => None,
            (true, false) => Some(Self::new("it speaks TLS", "name it with https://, and its authority with --tls-ca")),
            (true, true) => Some(Self::new("it refuses this caller's certificate", ANOTHER_CERTIFICATE)),
        }
    }

    /// Returns the problem of a handshake.
    pub(super) fn of(error: &HandshakeError) -> Self {
        Self::new(error.to_string(), remedy(error))
    }

    fn new(reason: impl Into<String>, remedy: &str) -> Self {
        Self { reason: reason.into(), remedy: remedy.to_owned() }
    }
}

/// What to do if the gateway does not like the certificate.
const ANOTHER_CERTIFICATE: &str = "present another one with --tls-cert and --tls-key";

/// Returns what to do about it.
fn remedy(error: &HandshakeError) -> &'static str {
    match error {
        HandshakeError::NotTls | HandshakeError::Closed => "if it is without TLS, name it with http://",
        HandshakeError::Tls(TlsError::InvalidCertificate(why)) => match why {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => "name its authority with --tls-ca",
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "name it by a host in its certificate, or name that host with --tls-server-name"
            }
            _ => "it needs another certificate",
        },
        HandshakeError::Tls(TlsError::AlertReceived(AlertDescription::CertificateRequired)) => {
            "present one with --tls-cert and --tls-key"
        }
        HandshakeError::Tls(TlsError::AlertReceived(
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::AccessDenied,
        )) => ANOTHER_CERTIFICATE,
        HandshakeError::Tls(_) | HandshakeError::Io(_) | HandshakeError::NoHttp2 | HandshakeError::NotAllowed(_) => {
            "name another with --gateway"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An error with a cause.
    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer<E: Error + 'static>(#[source] E);

    #[test]
    fn every_problem_has_its_remedy() {
        let of = |error: TlsError| TlsProblem::find(&Outer(HandshakeError::Tls(error)), true).unwrap().remedy;
        assert!(of(TlsError::InvalidCertificate(CertificateError::UnknownIssuer)).contains("--tls-ca"));
        assert!(of(TlsError::InvalidCertificate(CertificateError::NotValidForName)).contains("--tls-server-name"));
        assert!(of(TlsError::AlertReceived(AlertDescription::CertificateRequired)).contains("--tls-cert"));
        assert_eq!(of(TlsError::AlertReceived(AlertDescription::UnknownCA)), ANOTHER_CERTIFICATE);
        assert_eq!(TlsProblem::find(&std::io::Error::other("something else"), true), None);
    }

    #[test]
    fn a_goaway_for_the_lack_of_security_is_about_tls() {
        let found = |reason, with_tls| TlsProblem::find(&Outer(h2::Error::from(reason)), with_tls);
        assert!(found(h2::Reason::INADEQUATE_SECURITY, false).unwrap().remedy.contains("https://"));
        assert_eq!(found(h2::Reason::INADEQUATE_SECURITY, true).unwrap().remedy, ANOTHER_CERTIFICATE);
        assert_eq!(found(h2::Reason::NO_ERROR, false), None);
    }
}
