//! Who is at the other end of a connection.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

/// How many leading bits of an IPv6 address are the peer's: networks are assigned to customers by /64 or larger.
const IPV6_PREFIX: u32 = 64;

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

/// Returns what counts as one address in limits: an IPv4 address, or the /64 network of an IPv6 address. A loopback
/// address stays as it is.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            let network = address.to_bits() >> (Ipv6Addr::BITS - IPV6_PREFIX) << (Ipv6Addr::BITS - IPV6_PREFIX);
            Ipv6Addr::from_bits(network).into()
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        for (address, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("127.9.9.9", "127.9.9.9"),
            ("::1", "::1"),
        ] {
            assert_eq!(network(address.parse().unwrap()), expected.parse::<IpAddr>().unwrap(), "{address}");
        }
    }
}
