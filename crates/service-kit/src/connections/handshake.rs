//! The TLS handshake of a connection, and what is said to and about peers that do not get through it.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use grpc_tls::{HandshakeError, Refused, ServerTls, server::RefusedStream};
use rpc_layers::{Throttle, peer::PeerCertificate};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::server::TlsStream;

use super::{
    preface::PREFACE,
    refusal::{linger, tell},
};

/// How long a peer may take for the TLS handshake.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The first byte that a client sends with TLS: the type of a record with a handshake message.
pub(super) const TLS_HANDSHAKE: u8 = 0x16;

/// Makes handshakes.
#[derive(Debug)]
pub(super) struct Handshake {
    tls: ServerTls,
    plaintext: Throttle,
    failed: Throttle,
    not_allowed: Throttle,
}

/// The stream of a connection, and the certificate that its peer presented.
pub(super) type Accepted = (TlsStream<TcpStream>, Option<PeerCertificate>);

// === impl Handshake ===

impl Handshake {
    pub(super) fn new(tls: ServerTls) -> Self {
        Self { tls, plaintext: Throttle::default(), failed: Throttle::default(), not_allowed: Throttle::default() }
    }

    /// Makes the handshake. Returns `None` if the peer is refused: it has been told, and so has the log.
    pub(super) async fn accept(&self, stream: TcpStream, peer: SocketAddr) -> Option<Accepted> {
        let accepted = timeout(TIMEOUT, self.accept_or_tell(stream, peer)).await;
        accepted.unwrap_or_else(|_| {
            tracing::debug!(%peer, "a connection was closed: it did not complete the TLS handshake in time");
            None
        })
    }

    async fn accept_or_tell(&self, mut stream: TcpStream, peer: SocketAddr) -> Option<Accepted> {
        let mut first = [0];
        match stream.peek(&mut first).await {
            Ok(1) if first[0] != TLS_HANDSHAKE => {
                self.warn(&HandshakeError::NotTls, peer);
                if first[0] == PREFACE[0] {
                    tell(&mut stream, "this port speaks TLS: the URL has to begin with https://").await;
                }
                return None;
            }
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(%peer, %error, "a connection failed");
                return None;
            }
        }
        let Refused { error, stream } = match self.tls.accept(stream).await {
            Ok((stream, names)) => return Some((stream, names.map(|names| PeerCertificate { names: names.into() }))),
            Err(refused) => refused,
        };
        self.warn(&error, peer);
        match stream {
            RefusedStream::Raw(mut stream) => linger(&mut stream).await,
            RefusedStream::Tls(mut stream) => tell(&mut *stream, reason(&error)).await,
        }
        None
    }

    fn warn(&self, error: &HandshakeError, peer: SocketAddr) {
        let throttle = match error {
            HandshakeError::NotTls => &self.plaintext,
            HandshakeError::NotAllowed(_) => &self.not_allowed,
            HandshakeError::Tls(_) | HandshakeError::NoHttp2 => &self.failed,
            // Load balancers and port scanners do that.
            HandshakeError::Closed | HandshakeError::Io(_) => {
                return tracing::debug!(%peer, reason = %error, "a connection failed");
            }
        };
        if let Some(others) = throttle.allow(Instant::now()) {
            tracing::warn!(%peer, reason = %error, others, "a connection was refused");
        }
    }
}

/// Returns what a peer is told that is refused after the handshake. It knows the names that it has.
fn reason(error: &HandshakeError) -> &'static str {
    match error {
        HandshakeError::NotAllowed(_) => "no name of the client's certificate is allowed here",
        HandshakeError::NoHttp2 => "ALPN h2 is required",
        _ => "the client's certificate is no longer valid",
    }
}
