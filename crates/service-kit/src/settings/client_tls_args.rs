//! The flags of the TLS with which a service calls others.

use std::path::PathBuf;

use grpc_tls::{ClientFiles, ClientTls, FileError, FileRole};

use super::{TlsArgs, usage_error::bad_file};

/// The flags of the TLS with which a service calls others.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ClientTlsArgs {
    /// A PEM file with the authorities that sign the certificates of backends with an https:// URL; without it those of
    /// this machine; read again when it changes
    #[arg(long, value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,
    /// A PEM file with the certificate to present to backends, then its intermediates; without it that of --tls-cert
    #[arg(long, requires = "client_key", value_name = "FILE")]
    pub client_cert: Option<PathBuf>,
    /// A PEM file with the private key of --client-cert
    #[arg(long, requires = "client_cert", value_name = "FILE")]
    pub client_key: Option<PathBuf>,
}

// === impl ClientTlsArgs ===

impl ClientTlsArgs {
    /// Reads the files of the service `name`, whose own certificate is presented if there is none for this.
    ///
    /// # Errors
    ///
    /// Returns one line with the flag of the file that cannot be used.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime.
    pub fn load(&self, name: &str, server: &TlsArgs) -> Result<ClientTls, String> {
        let identity = self.client_cert.as_ref().zip(self.client_key.as_ref());
        let flag = |error: &FileError| match (error.role, identity) {
            (FileRole::Authorities, _) => "tls-ca",
            (FileRole::Certificate, Some(_)) => "client-cert",
            (FileRole::Certificate, None) => "tls-cert",
            (FileRole::Key, Some(_)) => "client-key",
            (FileRole::Key, None) => "tls-key",
        };
        let identity = identity.or(server.identity()).map(|(cert, key)| (cert.clone(), key.clone()));
        let files = ClientFiles { ca: self.tls_ca.clone(), identity };
        ClientTls::load(files).map_err(|error| bad_file(name, flag(&error), &error))
    }
}
