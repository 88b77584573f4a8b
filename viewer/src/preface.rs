//! The first bytes of a connection with HTTP/2.

use std::io::{self, ErrorKind};

use tokio::io::{AsyncRead, AsyncReadExt};

/// What every client of HTTP/2 sends first.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Reads the preface.
///
/// # Errors
///
/// Returns an error as soon as the peer sends anything else, or leaves.
pub(crate) async fn read(mut peer: impl AsyncRead + Unpin) -> io::Result<()> {
    let (mut bytes, mut length) = ([0; PREFACE.len()], 0);
    while length < PREFACE.len() {
        match peer.read(&mut bytes[length..]).await? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            more => length += more,
        }
        if bytes[..length] != PREFACE[..length] {
            return Err(io::Error::new(ErrorKind::InvalidData, "it does not speak HTTP/2"));
        }
    }
    Ok(())
}
