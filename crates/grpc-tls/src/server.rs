//! Accepts connections with TLS.

use std::{fmt, path::PathBuf, sync::Arc};

use rustls::{
    HandshakeKind, ServerConfig,
    pki_types::{CertificateDer, UnixTime},
    server::{NoClientAuth, WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::SingleCertAndKey,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{
    client_verifier::ClientVerifier,
    file_error::{FileError, FileRole, Problem},
    handshake_error::HandshakeError,
    names::{AllowedName, are_same, names_of},
    pem::{IdentityPem, Pem},
    provider::{ALPN, provider, server_config},
    reload::{Reloaded, Source},
};

/// What a server needs for TLS.
#[derive(Clone, Debug)]
pub struct ServerFiles {
    /// The server's certificate, then its intermediates, in PEM.
    pub cert: PathBuf,
    /// The certificate's private key, in PEM.
    pub key: PathBuf,
    /// The authorities that sign the certificates of clients, in PEM: a client needs one. `None` asks for none.
    pub client_ca: Option<PathBuf>,
    /// The names of which a client's certificate has to have one, or else all those of the server's own. Empty allows all
    /// that the authorities signed.
    pub allowed_clients: Vec<AllowedName>,
}

/// The TLS of a server. Clones share it.
///
/// Its files are read again when they change, until the last clone is dropped. Connections that are open go on.
#[derive(Clone)]
pub struct ServerTls(Arc<Reloaded<Server>>);

/// A connection that was refused.
#[derive(Debug)]
pub struct Refused<IO> {
    /// Why.
    pub error: HandshakeError,
    /// The connection.
    pub stream: RefusedStream<IO>,
}

/// The stream of a connection that was refused.
#[derive(Debug)]
pub enum RefusedStream<IO> {
    /// The handshake failed. The alert that says why has been sent.
    Raw(IO),
    /// The handshake succeeded: the peer can be told why it is refused.
    Tls(Box<TlsStream<IO>>),
}

/// The files that it is made of.
struct Files(ServerFiles);

/// What is made of a server's files.
pub(crate) struct Server {
    config: Arc<ServerConfig>,
    verifier: Arc<dyn ClientCertVerifier>,
    own: CertificateDer<'static>,
    /// The names in it.
    own_names: Vec<String>,
    allowed_clients: Vec<AllowedName>,
}

// === impl ServerTls ===

impl ServerTls {
    /// Reads the files. Blocks for a moment.
    ///
    /// # Errors
    ///
    /// Returns an error if a file cannot be read or used, or the key does not belong to the certificate.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime.
    pub fn load(files: ServerFiles) -> Result<Self, FileError> {
        Reloaded::load(Files(files)).map(Self)
    }

    /// Reads the files now, and logs whether they have changed.
    pub fn reload(&self) {
        self.0.reload();
    }

    /// Makes the handshake. Returns the stream, and the names of the client's certificate if it presented one.
    ///
    /// Has no limit of its own. Dropping the future closes the connection.
    ///
    /// # Errors
    ///
    /// Returns an error if the handshake fails, the client does not ask for HTTP/2, or its certificate has no name that is
    /// allowed.
    pub async fn accept<IO>(&self, io: IO) -> Result<(TlsStream<IO>, Option<Vec<String>>), Refused<IO>>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let server = self.0.get();
        let stream = match TlsAcceptor::from(Arc::clone(&server.config)).accept(io).into_fallible().await {
            Ok(stream) => stream,
            Err((error, io)) => {
                return Err(Refused { error: HandshakeError::of(error), stream: RefusedStream::Raw(io) });
            }
        };
        match server.check(&stream) {
            Ok(names) => Ok((stream, names)),
            Err(error) => Err(Refused { error, stream: RefusedStream::Tls(Box::new(stream)) }),
        }
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").finish_non_exhaustive()
    }
}

// === impl Server ===

impl Server {
    /// Checks what the handshake does not: the protocol, the names, and the certificate of a session that was resumed.
    fn check<IO>(&self, stream: &TlsStream<IO>) -> Result<Option<Vec<String>>, HandshakeError> {
        let (_, connection) = stream.get_ref();
        if connection.alpn_protocol() != Some(ALPN) {
            return Err(HandshakeError::NoHttp2);
        }
        let Some([certificate, intermediates @ ..]) = connection.peer_certificates() else { return Ok(None) };
        if connection.handshake_kind() == Some(HandshakeKind::Resumed) {
            // It may have expired since.
            let verified = self.verifier.verify_client_cert(certificate, intermediates, UnixTime::now());
            verified.map_err(HandshakeError::Tls)?;
        }
        let names = names_of(certificate);
        let is_allowed = self.allowed_clients.is_empty()
            || *certificate == self.own
            // Its own health check reads a new certificate before the server does.
            || (!names.is_empty() && are_same(&names, &self.own_names))
            || self.allowed_clients.iter().any(|allowed| allowed.is_in(&names));
        if is_allowed { Ok(Some(names)) } else { Err(HandshakeError::NotAllowed(names)) }
    }
}

// === impl Files ===

impl Source for Files {
    type Contents = (IdentityPem, Option<Pem>);
    type Value = Server;
    type Error = FileError;

    fn read(&self) -> Result<Self::Contents, FileError> {
        let identity = IdentityPem::read(&self.0.cert, &self.0.key)?;
        let authorities = self.0.client_ca.as_ref().map(|file| Pem::read(file, FileRole::Authorities)).transpose()?;
        Ok((identity, authorities))
    }

    fn parse(&self, (identity, authorities): &Self::Contents) -> Result<Server, FileError> {
        let certified = identity.certified_key()?;
        let own = certified.cert[0].clone();
        let verifier: Arc<dyn ClientCertVerifier> = match authorities {
            None => Arc::new(NoClientAuth),
            Some(pem) => {
                let provider = provider();
                let algorithms = provider.signature_verification_algorithms;
                let authorities = WebPkiClientVerifier::builder_with_provider(pem.authorities()?, provider).build();
                let authorities = authorities
                    .map_err(|error| pem.error(Problem::Certificate { number: 1, reason: error.to_string() }))?;
                Arc::new(ClientVerifier { authorities, own: own.clone(), algorithms })
            }
        };
        let mut config = server_config()
            .with_client_cert_verifier(Arc::clone(&verifier))
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        config.alpn_protocols = vec![ALPN.to_vec()];
        let (own_names, allowed_clients) = (names_of(&own), self.0.allowed_clients.clone());
        Ok(Server { config: Arc::new(config), verifier, own, own_names, allowed_clients })
    }
}
