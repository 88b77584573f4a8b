//! The flags of a service's TLS.

use std::{net::SocketAddr, path::PathBuf};

use grpc_tls::{AllowedName, FileError, FileRole, ServerFiles, ServerTls};

use super::usage_error::{bad_file, variable};

/// The flags of a service's TLS.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct TlsArgs {
    /// A PEM file with the certificate of this service, then its intermediates: serves TLS 1.3; read again when it changes
    #[arg(long, global = true, requires = "tls_key", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// A PEM file with the certificate's private key, not encrypted; read again when it changes
    #[arg(long, global = true, requires = "tls_cert", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// A PEM file with the authorities that sign clients' certificates: each client needs one; read again when it changes
    #[arg(long, requires = "tls_cert", value_name = "FILE")]
    pub tls_client_ca: Option<PathBuf>,
    /// Comma-separated names of clients that may connect: a URI such as a SPIFFE ID, or a DNS name, that is in the client's
    /// certificate; without it all whose certificate is valid
    #[arg(long, requires = "tls_client_ca", value_delimiter = ',', value_name = "NAME")]
    pub allow_client: Vec<AllowedName>,
    /// Serve without TLS at an address that other machines can reach
    #[arg(long)]
    pub insecure: bool,
}

// === impl TlsArgs ===

impl TlsArgs {
    /// Returns the files of the service's certificate and its key.
    pub fn identity(&self) -> Option<(&PathBuf, &PathBuf)> {
        self.tls_cert.as_ref().zip(self.tls_key.as_ref())
    }

    /// Reads the files of the service `name`. Returns `None` if it is to serve without TLS.
    ///
    /// # Errors
    ///
    /// Returns one line with the flag of the file that cannot be used.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime.
    pub fn load(&self, name: &str) -> Result<Option<ServerTls>, String> {
        let Some((cert, key)) = self.identity() else { return Ok(None) };
        let files = ServerFiles {
            cert: cert.clone(),
            key: key.clone(),
            client_ca: self.tls_client_ca.clone(),
            allowed_clients: self.allow_client.clone(),
        };
        let flag = |error: &FileError| match error.role {
            FileRole::Certificate => "tls-cert",
            FileRole::Key => "tls-key",
            FileRole::Authorities => "tls-client-ca",
        };
        ServerTls::load(files).map(Some).map_err(|error| bad_file(name, flag(&error), &error))
    }

    /// Checks that the service `name` does not serve other machines without TLS by mistake.
    ///
    /// # Errors
    ///
    /// Returns one line with the ways out.
    pub fn check_address(&self, name: &str, address: SocketAddr) -> Result<(), String> {
        if self.tls_cert.is_some() || self.insecure || address.ip().to_canonical().is_loopback() {
            return Ok(());
        }
        Err(format!(
            "invalid value '{address}' for '--listen <ADDRESS>' or {}: other machines can reach it, and nothing is encrypted: \
             expected --tls-cert and --tls-key too, or --insecure if that is meant",
            variable(name, "listen"),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plaintext_beyond_this_machine_has_to_be_meant() {
        let check = |args: TlsArgs, address: &str| args.check_address("gateway", address.parse().unwrap());
        for (address, is_allowed) in [
            ("127.0.0.1:1", true),
            ("127.9.9.9:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("0.0.0.0:1", false),
            ("[::]:1", false),
            ("10.0.0.1:1", false),
        ] {
            assert_eq!(check(TlsArgs::default(), address).is_ok(), is_allowed, "{address}");
            assert!(check(TlsArgs { insecure: true, ..TlsArgs::default() }, address).is_ok());
            assert!(check(TlsArgs { tls_cert: Some("x".into()), ..TlsArgs::default() }, address).is_ok());
        }
        let error = check(TlsArgs::default(), "0.0.0.0:1").unwrap_err();
        assert!(error.contains("--tls-cert") && error.contains("--insecure") && !error.contains('\n'), "{error}");
    }
}
