//! The flags for a gateway with TLS.

use std::path::PathBuf;

use clap::Args;
use grpc_tls::{ClientFiles, ClientTls, FileError, FileRole, ServerName};

use crate::gateway_client::address::GatewayAddress;

/// The flags for a gateway with TLS.
#[derive(Args, Clone, Debug, Default)]
pub struct TlsArgs {
    /// With https://: a PEM file with the authorities that sign the gateway's certificate; without it those of this machine
    #[arg(long, value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,

    /// With https://: a PEM file with the certificate to present if the gateway asks for one
    #[arg(long, requires = "tls_key", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,

    /// A PEM file with the private key of --tls-cert
    #[arg(long, requires = "tls_cert", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,

    /// With https://: the name in the gateway's certificate, if it is not the host of --gateway
    #[arg(long, value_name = "NAME", value_parser = server_name)]
    pub tls_server_name: Option<ServerName<'static>>,
}

/// Why there is no TLS with the files that the flags name.
#[derive(Debug, thiserror::Error)]
#[error("invalid value '{value}' for '--{flag}': {reason}")]
pub struct BadTlsFile {
    value: String,
    flag: &'static str,
    reason: String,
}

// === impl TlsArgs ===

impl TlsArgs {
    /// Checks what clap cannot: that the flags go with the gateway's address.
    ///
    /// # Errors
    ///
    /// Returns a message for the command line if there is a flag for TLS, and the address is one without.
    pub fn check(&self, gateway: &GatewayAddress) -> Result<(), String> {
        let flags = [
            (self.tls_ca.is_some(), "--tls-ca"),
            (self.tls_cert.is_some(), "--tls-cert"),
            (self.tls_server_name.is_some(), "--tls-server-name"),
        ];
        match flags.into_iter().find(|(is_given, _)| *is_given && !gateway.is_https()) {
            Some((_, flag)) => {
                Err(format!("{flag} is given, and {gateway} is without TLS: expected --gateway https://HOST:PORT"))
            }
            None => Ok(()),
        }
    }

    /// Reads the files.
    pub(super) fn load(&self) -> Result<ClientTls, BadTlsFile> {
        let files = ClientFiles { ca: self.tls_ca.clone(), identity: self.tls_cert.clone().zip(self.tls_key.clone()) };
        ClientTls::load(files).map_err(BadTlsFile::from)
    }
}

// === impl BadTlsFile ===

impl BadTlsFile {
    /// Returns the error for an address whose host no certificate can be for.
    pub(super) fn no_name(gateway: &GatewayAddress) -> Self {
        let reason = "no certificate can be for this host: expected a host name or an IP address, or --tls-server-name";
        Self { value: gateway.to_string(), flag: "gateway <URL>", reason: reason.to_owned() }
    }
}

impl From<FileError> for BadTlsFile {
    fn from(error: FileError) -> Self {
        let flag = match error.role {
            FileRole::Authorities => "tls-ca <FILE>",
            FileRole::Certificate => "tls-cert <FILE>",
            FileRole::Key => "tls-key <FILE>",
        };
        Self { value: error.file.display().to_string(), flag, reason: error.to_string() }
    }
}

fn server_name(text: &str) -> Result<ServerName<'static>, String> {
    let name = ServerName::try_from(text.to_owned());
    name.map_err(|_| "expected a host name such as gateway.example.com, or an IP address".to_owned())
}
