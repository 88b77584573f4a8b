//! The one crypto provider, and the one version of TLS.

use std::sync::Arc;

use rustls::{
    ClientConfig, ConfigBuilder, ServerConfig, WantsVerifier,
    crypto::{CryptoProvider, aws_lc_rs},
    version::TLS13,
};

/// The protocol that clients and servers agree on: HTTP/2.
pub(crate) const ALPN: &[u8] = b"h2";

/// Returns the provider. A default provider of the process is neither needed nor set: other crates may set their own.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

pub(crate) fn server_config() -> ConfigBuilder<ServerConfig, WantsVerifier> {
    let builder = ServerConfig::builder_with_provider(provider());
    builder.with_protocol_versions(&[&TLS13]).expect("the provider has cipher suites of TLS 1.3")
}

pub(crate) fn client_config() -> ConfigBuilder<ClientConfig, WantsVerifier> {
    let builder = ClientConfig::builder_with_provider(provider());
    builder.with_protocol_versions(&[&TLS13]).expect("the provider has cipher suites of TLS 1.3")
}

/// The methods of a verifier that check the signatures of handshakes, with the algorithms in its field `algorithms`: those of
/// clients and of servers are the same.
macro_rules! verify_signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.algorithms.supported_schemes()
        }
    };
}
pub(crate) use verify_signatures;
