//! Makes connections with TLS.

use std::{
    error::Error,
    fmt, io,
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use rustls::{
    ClientConfig, RootCertStore,
    client::{ResolvesClientCert, Resumption},
    pki_types::ServerName,
    sign::{CertifiedKey, SingleCertAndKey},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    file_error::{FileError, FileRole},
    handshake_error::HandshakeError,
    pem::{IdentityPem, Pem},
    provider::{ALPN, client_config},
    reload::{Reloaded, Source},
};

/// What a client needs for TLS.
#[derive(Clone, Debug, Default)]
pub struct ClientFiles {
    /// The authorities that sign the certificates of servers, in PEM. `None` is those of this machine.
    pub ca: Option<PathBuf>,
    /// The client's certificate, then its intermediates, and its private key, in PEM. Sent if a server asks for it.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// The TLS of a client. Clones share it.
///
/// Its files are read again when they change, until the last clone is dropped. Connections that are open go on.
#[derive(Clone)]
pub struct ClientTls {
    config: Arc<Reloaded<ClientConfig>>,
    server_name: Option<ServerName<'static>>,
}

/// What the configuration is made of.
struct Files(ClientFiles);

pin_project! {
    /// A connection with TLS. Its errors say in plain words why the server refused the client's certificate, which a
    /// client learns only when it reads.
    #[derive(Debug)]
    pub struct ClientStream<IO> {
        #[pin]
        inner: TlsStream<IO>,
    }
}

// === impl ClientTls ===

impl ClientTls {
    /// Reads the files. Blocks for a moment.
    ///
    /// # Errors
    ///
    /// Returns an error if a file cannot be read or used, or the key does not belong to the certificate.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime.
    pub fn load(files: ClientFiles) -> Result<Self, FileError> {
        let has_files = files.ca.is_some() || files.identity.is_some();
        let files = Files(files);
        let config = if has_files { Reloaded::load(files)? } else { Reloaded::fixed(files.parse(&files.read()?)?) };
        Ok(Self { config, server_name: None })
    }

    /// Trusts the authorities of this machine, and has no certificate. Blocks for a moment.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime.
    pub fn of_platform() -> Self {
        Self::load(ClientFiles::default()).expect("no file is read that could be wrong")
    }

    /// Verifies the certificates of all servers against this name in place of the host that a URL names.
    #[must_use]
    pub fn server_name(mut self, name: ServerName<'static>) -> Self {
        self.server_name = Some(name);
        self
    }

    /// Reads the files now, and logs whether they have changed.
    pub fn reload(&self) {
        self.config.reload();
    }

    /// Makes the handshake with the server of this name.
    ///
    /// Has no limit of its own. Dropping the future closes the connection.
    ///
    /// # Errors
    ///
    /// Returns an error if the handshake fails or the server does not speak HTTP/2. A server that refuses the client's
    /// certificate does so later: the first read fails then.
    pub async fn connect<IO>(&self, name: &ServerName<'static>, io: IO) -> Result<ClientStream<IO>, HandshakeError>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let connector = TlsConnector::from(self.config.get());
        let name = self.server_name.as_ref().unwrap_or(name).clone();
        let stream = connector.connect(name, io).await.map_err(|error| {
            // What the log says beyond the plain words: the names that the certificate has instead.
            tracing::debug!(%error, "a TLS handshake failed");
            HandshakeError::of(error)
        })?;
        if stream.get_ref().1.alpn_protocol() != Some(ALPN) {
            return Err(HandshakeError::NoHttp2);
        }
        Ok(ClientStream::new(stream))
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

// === impl Files ===

impl Source for Files {
    type Contents = (Option<Pem>, Option<IdentityPem>);
    type Value = ClientConfig;
    type Error = FileError;

    fn read(&self) -> Result<Self::Contents, FileError> {
        let authorities = self.0.ca.as_ref().map(|file| Pem::read(file, FileRole::Authorities)).transpose()?;
        let identity = self.0.identity.as_ref().map(|(cert, key)| IdentityPem::read(cert, key)).transpose()?;
        Ok((authorities, identity))
    }

    fn parse(&self, (authorities, identity): &Self::Contents) -> Result<ClientConfig, FileError> {
        let authorities = match authorities {
            Some(pem) => pem.authorities()?,
            None => Arc::new(platform_authorities()),
        };
        let identity = identity.as_ref().map(IdentityPem::certified_key).transpose()?;
        let builder = client_config().with_root_certificates(authorities);
        let mut config = match identity {
            Some(identity) => builder.with_client_cert_resolver(client_certificate(identity)),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        // A resumed session does without the server's certificate, which may have expired since. Connections are few here,
        // and live long.
        config.resumption = Resumption::disabled();
        Ok(config)
    }
}

/// Sends this certificate, whichever authorities a server names: it knows better than we why it refuses one.
pub(crate) fn client_certificate(identity: Arc<CertifiedKey>) -> Arc<dyn ResolvesClientCert> {
    Arc::new(SingleCertAndKey::from(identity))
}

/// Returns the authorities that this machine trusts.
fn platform_authorities() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let error = found.errors.first().map(tracing::field::display);
        tracing::warn!(error, "this machine has no certificates of authorities: no server can be trusted");
    }
    roots
}

// === impl ClientStream ===

impl<IO> ClientStream<IO> {
    pub(crate) fn new(inner: TlsStream<IO>) -> Self {
        Self { inner }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncRead for ClientStream<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.project().inner.poll_read(cx, buffer).map_err(|error| {
            let is_tls = error.get_ref().is_some_and(<dyn Error + Send + Sync>::is::<rustls::Error>);
            if is_tls { io::Error::new(error.kind(), HandshakeError::of(error)) } else { error }
        })
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for ClientStream<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.project().inner.poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.project().inner.poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().inner.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().inner.poll_shutdown(cx)
    }
}
