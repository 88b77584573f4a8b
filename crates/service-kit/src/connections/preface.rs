//! Reads the first bytes of a connection.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// What every client of HTTP/2 sends first.
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Reads the preface. Returns an error as soon as the peer sends anything else.
pub(super) async fn read_preface(mut peer: impl AsyncRead + Unpin) -> io::Result<()> {
    let (mut bytes, mut length) = ([0; PREFACE.len()], 0);
    while length < PREFACE.len() {
        match peer.read(&mut bytes[length..]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            more => length += more,
        }
        if bytes[..length] != PREFACE[..length] {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it does not speak HTTP/2"));
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
        assert_eq!(read_preface(connection).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(read_preface(&PREFACE[..9]).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
