//! What a client of HTTP/2 is told that is refused before its connection is served.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy, sink},
    time::timeout,
};

use super::preface::read_preface;

/// How long a peer that is refused may take to read why.
const LINGER: Duration = Duration::from_secs(1);

/// How much of what a refused peer has sent is read: a connection that is closed with unread data is reset, and what was
/// said on it may be lost.
const LINGER_BYTES: u64 = 64 << 10;

/// How long a client may take for its first request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);

/// The settings of a server, all of them the default.
const SETTINGS: [u8; 9] = [0, 0, 0, 0x4, 0, 0, 0, 0, 0];

/// The type of the frame that begins a request.
const HEADERS: u8 = 0x1;

/// Tells a client of HTTP/2 why it is refused, and waits until it has gone: clients of gRPC show the reason to their users.
///
/// It is told when it has made a request. Clients that learn of it before have a connection that has ended and no call that
/// failed, and many of them forget the reason. A client without a request is told after three seconds.
///
/// The caller bounds the time for a client that does not read.
pub(super) async fn tell(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), reason: &str) {
    let told = async {
        stream.write_all(&SETTINGS).await?;
        stream.flush().await?;
        let asked = timeout(REQUEST_TIMEOUT, first_request(&mut *stream)).await;
        // It may have sent something else, or be gone.
        let _ = asked;
        stream.write_all(&goaway(reason)).await
    };
    if told.await.is_ok() {
        linger(stream).await;
    }
}

/// Waits until the peer has closed the connection, for a moment at most.
pub(super) async fn linger(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    let closed = async {
        stream.shutdown().await?;
        copy(&mut stream.take(LINGER_BYTES), &mut sink()).await
    };
    // How it ended is of no use to anybody.
    let _ = timeout(LINGER, closed).await;
}

/// Reads until a request has begun. Returns an error if the peer sends anything but HTTP/2, or too much of it.
async fn first_request(stream: impl AsyncRead + Unpin) -> io::Result<()> {
    let mut stream = stream.take(LINGER_BYTES);
    read_preface(&mut stream).await.map_err(io::Error::other)?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let [a, b, c, kind, ..] = head;
        if kind == HEADERS {
            return Ok(());
        }
        let length = u64::from(u32::from_be_bytes([0, a, b, c]));
        if copy(&mut (&mut stream).take(length), &mut sink()).await? < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Returns the frame with which a server of HTTP/2 ends a connection without a single call.
fn goaway(reason: &str) -> Vec<u8> {
    let length = u8::try_from(8 + reason.len()).expect("a reason is short");
    let head = [0, 0, length, 0x7, 0, 0, 0, 0, 0];
    let last_stream = [0; 4];
    let code = u32::from(h2::Reason::INADEQUATE_SECURITY).to_be_bytes();
    [&head[..], &last_stream, &code, reason.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::{super::preface::PREFACE, *};

    /// What a client of HTTP/2 sends first: its settings, and a larger window.
    const BEGINNING: [u8; 28] =
        [0, 0, 6, 0x4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 9, 0, 0, 4, 0x8, 0, 0, 0, 0, 0, 0, 0, 1, 0];

    #[tokio::test(start_paused = true)]
    async fn a_client_is_told_when_it_has_made_a_request() {
        let (mut client, mut server) = tokio::io::duplex(1 << 10);
        let told = tokio::spawn(async move { tell(&mut server, "no").await });
        client.write_all(PREFACE).await.unwrap();
        client.write_all(&BEGINNING).await.unwrap();
        let mut settings = [0; 9];
        client.read_exact(&mut settings).await.unwrap();
        assert_eq!(settings, SETTINGS);
        let mut next = [0; 1];
        assert!(timeout(Duration::from_secs(2), client.read(&mut next)).await.is_err(), "no request, no answer");
        client.write_all(&[0, 0, 1, HEADERS, 0x5, 0, 0, 0, 1, 0x82]).await.unwrap();
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, goaway("no"));
        drop(client);
        told.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_without_a_request_is_told_too_and_anything_else_at_once() {
        for (sent, expected) in [(&PREFACE[..], REQUEST_TIMEOUT), (b"POST / HTTP/1.1\r\n", Duration::ZERO)] {
            let begun = Instant::now();
            let (mut client, mut server) = tokio::io::duplex(1 << 10);
            let told = tokio::spawn(async move { tell(&mut server, "no").await });
            client.write_all(sent).await.unwrap();
            let mut all = Vec::new();
            client.read_to_end(&mut all).await.unwrap();
            assert_eq!(all, [&SETTINGS[..], &goaway("no")].concat());
            // Paused clocks are a millisecond late.
            let taken = begun.elapsed();
            assert!(taken >= expected && taken < expected + Duration::from_millis(5), "{taken:?}");
            drop(client);
            told.await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_request_is_found_behind_other_frames_and_too_much_is_not_read() {
        let request = [0, 0, 1, HEADERS, 0x5, 0, 0, 0, 1, 0x82];
        first_request(&[&PREFACE[..], &BEGINNING, &request].concat()[..]).await.unwrap();
        first_request(&[&PREFACE[..], &BEGINNING].concat()[..]).await.unwrap_err();
        first_request(PREFACE.chain(tokio::io::repeat(0))).await.unwrap_err();
        first_request(PREFACE.chain(tokio::io::repeat(0xff))).await.unwrap_err();
    }
}
