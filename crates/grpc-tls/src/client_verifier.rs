//! Which client certificates a server accepts.

use std::sync::Arc;

use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::WebPkiSupportedAlgorithms,
    pki_types::{CertificateDer, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};

use crate::provider::verify_signatures;

/// Accepts certificates of the authorities, and the server's own: whoever has its key is the server itself, asking for its
/// health.
#[derive(Debug)]
pub(crate) struct ClientVerifier {
    pub(crate) authorities: Arc<dyn ClientCertVerifier>,
    pub(crate) own: CertificateDer<'static>,
    pub(crate) algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for ClientVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // Clients that choose a certificate by these would not find the server's own. They have one only.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if *end_entity == self.own {
            return Ok(ClientCertVerified::assertion());
        }
        self.authorities.verify_client_cert(end_entity, intermediates, now)
    }

    verify_signatures!();
}
