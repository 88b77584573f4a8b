//! A TCP proxy that resets connections in the middle of a reply.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// Accepts connections and forwards them, each until it has carried this many bytes of replies.
pub(crate) async fn reset_connections(listener: TcpListener, target: SocketAddr, bytes: usize) {
    while let Ok((client, _)) = listener.accept().await {
        tokio::spawn(async move {
            // Both ends may close at any time.
            let _ = forward(client, target, bytes).await;
        });
    }
}

async fn forward(mut client: TcpStream, target: SocketAddr, bytes: usize) -> io::Result<()> {
    client.set_nodelay(true)?;
    client.set_zero_linger()?;
    let mut server = TcpStream::connect(target).await?;
    server.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    // Dropping the socket with a linger time of zero sends the reset.
    tokio::select! {
        ended = tokio::io::copy(&mut from_client, &mut to_server) => ended.map(drop),
        ended = copy_at_most(&mut from_server, &mut to_client, bytes) => ended,
    }
}

async fn copy_at_most(
    from: &mut (impl tokio::io::AsyncRead + Unpin),
    to: &mut (impl tokio::io::AsyncWrite + Unpin),
    mut left: usize,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    while left > 0 {
        let wanted = left.min(buffer.len());
        let count = from.read(&mut buffer[..wanted]).await?;
        if count == 0 {
            break;
        }
        to.write_all(&buffer[..count]).await?;
        left -= count;
    }
    Ok(())
}
