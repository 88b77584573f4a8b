//! Why a connection has no TLS, in plain words.

use std::{io, time::Duration};

use rustls::{AlertDescription, CertificateError, Error};

/// Why a peer and this process do not speak TLS with each other. Its message begins with "it" for the peer.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The peer sent something else than TLS.
    #[error("it does not speak TLS")]
    NotTls,
    /// The peer closed the connection.
    #[error("it closed the connection during the TLS handshake")]
    Closed,
    /// The peer, or its certificate, was rejected; or it rejected us.
    #[error("{}", describe(.0))]
    Tls(#[source] Error),
    /// The connection failed.
    #[error("{0}")]
    Io(#[source] io::Error),
    /// The peer did not ask for HTTP/2.
    #[error("it does not offer HTTP/2 (ALPN h2)")]
    NoHttp2,
    /// The certificate is valid, and none of its names is allowed.
    #[error("its certificate has no name that is allowed; it has {}", list(.0))]
    NotAllowed(Vec<String>),
}

/// How many names of a certificate are listed.
const MAX_NAMES: usize = 4;

impl HandshakeError {
    /// Returns the reason for an error of a stream with TLS.
    pub(crate) fn of(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Self::Closed,
            _ => match error.downcast::<Error>() {
                Ok(Error::InvalidMessage(_)) => Self::NotTls,
                Ok(error) => Self::Tls(error),
                Err(error) => Self::Io(error),
            },
        }
    }
}

/// Describes an error of rustls in the words of somebody who has to mend it.
pub(crate) fn describe(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(why) => format!("its certificate {}", describe_certificate(why)),
        Error::NoCertificatesPresented => "it presented no certificate".to_owned(),
        Error::PeerIncompatible(_) => "it does not offer TLS 1.3 with a cipher suite that is known here".to_owned(),
        Error::NoApplicationProtocol => "it does not offer HTTP/2 (ALPN h2)".to_owned(),
        Error::AlertReceived(alert) => describe_alert(*alert),
        error => format!("the TLS handshake failed: {error}"),
    }
}

fn describe_certificate(why: &CertificateError) -> String {
    match why {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => "is from an unknown authority".to_owned(),
        CertificateError::Expired => "has expired".to_owned(),
        CertificateError::ExpiredContext { time, not_after } => {
            format!("expired {} ago", days(time.as_secs().saturating_sub(not_after.as_secs())))
        }
        CertificateError::NotValidYet => "is not valid yet".to_owned(),
        CertificateError::NotValidYetContext { time, not_before } => {
            format!(
                "is valid only in {}: do the clocks agree?",
                days(not_before.as_secs().saturating_sub(time.as_secs()))
            )
        }
        // Which names it has is for the log of its owner.
        CertificateError::NotValidForNameContext { expected, .. } => format!("is not for {}", expected.to_str()),
        CertificateError::InvalidPurposeContext { required, .. } => format!("is not made for {required}"),
        other => format!("is invalid: {other}"),
    }
}

fn describe_alert(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::CertificateRequired => "it requires a client certificate".to_owned(),
        AlertDescription::UnknownCA => "it refuses our certificate: its authority is unknown there".to_owned(),
        AlertDescription::CertificateExpired => "it refuses our certificate: expired".to_owned(),
        AlertDescription::CertificateRevoked => "it refuses our certificate: revoked".to_owned(),
        AlertDescription::AccessDenied => "it refuses our certificate: access denied".to_owned(),
        AlertDescription::DecryptError => "it refuses our certificate: a signature does not fit".to_owned(),
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateUnknown => format!("it refuses our certificate ({alert:?})"),
        AlertDescription::NoApplicationProtocol => "it does not offer HTTP/2 (ALPN h2)".to_owned(),
        AlertDescription::ProtocolVersion => "it does not speak TLS 1.3".to_owned(),
        AlertDescription::UnrecognisedName => "it has no certificate for this name".to_owned(),
        alert => format!("it ended the TLS handshake ({alert:?})"),
    }
}

/// Writes a time in whole days, or exactly if it is shorter.
fn days(seconds: u64) -> String {
    match seconds / (24 * 60 * 60) {
        0 => format!("{:?}", Duration::from_secs(seconds)),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}

fn list(names: &[String]) -> String {
    match names {
        [] => "none".to_owned(),
        names if names.len() > MAX_NAMES => {
            format!("{} and {} more", names[..MAX_NAMES].join(", "), names.len() - MAX_NAMES)
        }
        names => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_told_in_plain_words() {
        let tls = |error: Error| HandshakeError::of(io::Error::new(io::ErrorKind::InvalidData, error)).to_string();
        assert_eq!(
            tls(Error::InvalidCertificate(CertificateError::UnknownIssuer)),
            "its certificate is from an unknown authority"
        );
        assert_eq!(
            tls(Error::AlertReceived(AlertDescription::CertificateRequired)),
            "it requires a client certificate"
        );
        assert_eq!(tls(Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType)), "it does not speak TLS");
        let closed = HandshakeError::of(io::ErrorKind::UnexpectedEof.into()).to_string();
        assert_eq!(closed, "it closed the connection during the TLS handshake");
    }

    #[test]
    fn a_few_names_are_listed() {
        let names = |count: usize| (0..count).map(|n| format!("n{n}")).collect::<Vec<_>>();
        assert_eq!(
            [list(&names(0)), list(&names(2)), list(&names(9))],
            ["none", "n0, n1", "n0, n1, n2, n3 and 5 more"]
        );
    }

    #[test]
    fn a_time_is_in_days_or_exact() {
        assert_eq!([days(59), days(100_000), days(1_000_000)], ["59s", "1 day", "11 days"]);
    }
}
