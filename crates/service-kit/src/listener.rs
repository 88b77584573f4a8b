//! Where a server accepts connections, whether they are encrypted, and which threads serve them.

use std::{io, net::SocketAddr};

use grpc_tls::ServerTls;
use tokio::net::TcpListener;

use crate::workers::Workers;

/// Where a server accepts connections, whether they are encrypted, and which threads serve them.
#[derive(Debug)]
pub struct Listener {
    pub(crate) tcp: TcpListener,
    pub(crate) tls: Option<ServerTls>,
    /// `None` is the runtime that the server runs in.
    pub(crate) workers: Option<Workers>,
}

// === impl Listener ===

impl Listener {
    /// Accepts connections with TLS, or without if there is none.
    pub fn new(tcp: TcpListener, tls: Option<ServerTls>) -> Self {
        Self { tcp, tls, workers: None }
    }

    /// Lets these serve the connections, instead of the runtime that the server runs in.
    #[must_use]
    pub fn served_by(mut self, workers: Workers) -> Self {
        self.workers = Some(workers);
        self
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
        Self::new(tcp, None)
    }
}
