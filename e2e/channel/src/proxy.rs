//! A TCP proxy that breaks what it forwards.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::{JoinHandle, JoinSet},
};

/// Forwards to a server until it is killed: to its clients it looks like the server.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    to: SocketAddr,
    stopped: Arc<watch::Sender<bool>>,
    /// How many bytes of replies a connection forwards before it is reset.
    reset_after: u64,
    running: JoinHandle<()>,
}

// === impl Proxy ===

impl Proxy {
    /// Starts a proxy to this address on a free port.
    ///
    /// # Panics
    ///
    /// Panics if no port can be bound.
    pub async fn start(to: SocketAddr) -> Self {
        Self::resetting(to, u64::MAX).await
    }

    /// Starts one that resets each connection after it has forwarded this many bytes of replies.
    ///
    /// # Panics
    ///
    /// Panics if no port can be bound.
    pub async fn resetting(to: SocketAddr, reset_after: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let stopped = Arc::new(watch::Sender::new(false));
        let running = tokio::spawn(accept(listener, to, reset_after, stopped.subscribe()));
        Self { address, to, stopped, reset_after, running }
    }

    /// Returns the URL at which the proxy looks like the server.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Resets all connections and refuses further ones, as the kernel does for a process that was killed.
    pub async fn kill(&mut self) {
        self.running.abort();
        // Ends when the task, and with it all sockets, are dropped.
        let _ = (&mut self.running).await;
    }

    /// Starts again after [`kill`](Self::kill), on the same port.
    ///
    /// # Panics
    ///
    /// Panics if another process has taken the port.
    pub async fn restart(&mut self) {
        let listener = TcpListener::bind(self.address).await.expect("nobody has taken the port");
        self.running = tokio::spawn(accept(listener, self.to, self.reset_after, self.stopped.subscribe()));
    }

    /// Forwards nothing more, and keeps the connections open, as a stopped process does.
    pub fn stop(&self) {
        self.stopped.send_replace(true);
    }

    /// Goes on after [`stop`](Self::stop).
    pub fn go_on(&self) {
        self.stopped.send_replace(false);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.running.abort();
    }
}

async fn accept(listener: TcpListener, to: SocketAddr, reset_after: u64, stopped: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        let stopped = stopped.clone();
        connections.spawn(async move {
            let Ok(far) = TcpStream::connect(to).await else { return };
            // Closing a socket with this option sends RST in place of FIN.
            near.set_zero_linger().expect("the socket is open");
            near.set_nodelay(true).expect("the socket is open");
            far.set_nodelay(true).expect("the socket is open");
            let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
            tokio::select! {
                () = forward(from_near, to_far, u64::MAX, stopped.clone()) => {}
                () = forward(from_far, to_near, reset_after, stopped) => {}
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, limit: u64, mut stopped: watch::Receiver<bool>) {
    let mut buffer = vec![0; 16 * 1024];
    let mut left = limit;
    while left > 0 {
        let Ok(read @ 1..) = from.read(&mut buffer).await else { return };
        if stopped.wait_for(|stopped| !stopped).await.is_err() {
            return;
        }
        let read = read.min(usize::try_from(left).unwrap_or(usize::MAX));
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
        left -= read as u64;
    }
}
