//! Who is at the other end of a connection.

use std::{net::SocketAddr, sync::Arc};

/// The other end of a connection. A server puts it as an `Arc<Peer>` into the extensions of each request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address, which for a client behind a proxy is the proxy's.
    pub address: SocketAddr,
    /// The number of the connection, which differs from those of all others of the process.
    pub connection: u64,
    /// What the certificate authority says of it. `None` without TLS, or if it presented no certificate.
    pub certificate: Option<PeerCertificate>,
}

/// A certificate that the peer presented and that was verified: the names that it may call itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerCertificate {
    /// Its subject alternative names of the kinds URI (such as a SPIFFE ID) and DNS, in this order.
    pub names: Arc<[String]>,
}

// === impl Peer ===

impl Peer {
    /// Returns the peer of a request, if a server put it into these extensions.
    pub fn of(extensions: &http::Extensions) -> Option<&Arc<Self>> {
        extensions.get()
    }
}
