//! Reads the first bytes of a connection.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::handshake::TLS_HANDSHAKE;

/// What every client of HTTP/2 sends first.
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Why a connection has no preface.
#[derive(Debug, thiserror::Error)]
pub(super) enum PrefaceError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("it does not speak HTTP/2")]
    NotHttp2,
    #[error("it speaks TLS, and --tls-cert is not set")]
    Tls,
}

/// Reads the preface. Returns an error as soon as the peer sends anything else.
pub(super) async fn read_preface(mut peer: impl AsyncRead + Unpin) -> Result<(), PrefaceError> {
    let (mut bytes, mut length) = ([0; PREFACE.len()], 0);
    while length < PREFACE.len() {
        match peer.read(&mut bytes[length..]).await? {
            0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            more => length += more,
        }
        if bytes[0] == TLS_HANDSHAKE {
            return Err(PrefaceError::Tls);
        }
        if bytes[..length] != PREFACE[..length] {
            return Err(PrefaceError::NotHttp2);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_preface_may_arrive_in_parts() {
        let (first, second) = PREFACE.split_at(7);
        read_preface(first.chain(second)).await.unwrap();
    }

    #[tokio::test]
    async fn another_protocol_is_refused_at_once() {
        let (mut peer, connection) = tokio::io::duplex(64);
        tokio::io::AsyncWriteExt::write_all(&mut peer, b"GET / HTTP/1.1\r\n").await.unwrap();
        // The peer sends no more, and waits.
        assert!(matches!(read_preface(connection).await, Err(PrefaceError::NotHttp2)));
        assert!(matches!(read_preface(&PREFACE[..9]).await, Err(PrefaceError::Io(_))));
        assert!(matches!(read_preface(&[TLS_HANDSHAKE, 3, 1][..]).await, Err(PrefaceError::Tls)));
    }
}
