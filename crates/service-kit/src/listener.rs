//! Where a server accepts connections, and whether they are encrypted.

use std::{io, net::SocketAddr};

use grpc_tls::ServerTls;
use tokio::net::TcpListener;

/// Where a server accepts connections, and whether they are encrypted.
#[derive(Debug)]
pub struct Listener {
    pub(crate) tcp: TcpListener,
    pub(crate) tls: Option<ServerTls>,
}

// === impl Listener ===

impl Listener {
    /// Accepts connections with TLS, or without if there is none.
    pub fn new(tcp: TcpListener, tls: Option<ServerTls>) -> Self {
        Self { tcp, tls }
    }

    /// Returns the address that it listens on.
    ///
    /// # Errors
    ///
    /// Returns the operating system's error.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

impl From<TcpListener> for Listener {
    fn from(tcp: TcpListener) -> Self {
        Self { tcp, tls: None }
    }
}
