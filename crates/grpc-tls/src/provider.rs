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
