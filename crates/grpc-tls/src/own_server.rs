//! Connects to the server that has the same certificate, to ask it for its health.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::Path,
    sync::Arc,
};

use rustls::{
    DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::WebPkiSupportedAlgorithms,
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use crate::{
    client::{ClientStream, client_certificate},
    file_error::FileError,
    handshake_error::HandshakeError,
    pem::IdentityPem,
    provider::{ALPN, client_config, provider, verify_signatures},
};

/// Makes the handshake with a server of this machine that was started with these files, and presents the same certificate:
/// a server accepts its own from whoever has the key. Reads the files. Blocks for a moment.
///
/// The server's certificate is not verified. It is asked over this machine's own address, is told nothing that is secret,
/// and answers nothing that is believed beyond this machine. Verification would make a service that works fail its health
/// check between the change of its files and its own look at them, and for as long as the new ones cannot be used.
///
/// # Errors
///
/// Returns an error if a file cannot be used, or the handshake fails.
pub async fn connect<IO>(cert: &Path, key: &Path, io: IO) -> Result<ClientStream<IO>, OwnServerError>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let identity = IdentityPem::read(cert, key)?.certified_key()?;
    let verifier = AnyCertificate { algorithms: provider().signature_verification_algorithms };
    let mut config = client_config()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_cert_resolver(client_certificate(identity));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.enable_sni = false;
    // It is neither sent nor verified.
    let name = ServerName::from(IpAddr::from(Ipv4Addr::LOCALHOST));
    let stream = TlsConnector::from(Arc::new(config)).connect(name, io).await.map_err(HandshakeError::of)?;
    Ok(ClientStream::new(stream))
}

/// Why there is no connection to the server with these files.
#[derive(Debug, thiserror::Error)]
pub enum OwnServerError {
    /// A file cannot be used.
    #[error("{}: {_0}", .0.file.display())]
    File(#[from] FileError),
    /// The handshake failed.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
}

/// Accepts any certificate whose key the server has.
#[derive(Debug)]
struct AnyCertificate {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    verify_signatures!();
}
