//! Whom a request counts against, in limits that callers share.

use std::{
    hash::{BuildHasher as _, RandomState},
    net::IpAddr,
    sync::LazyLock,
};

use http::Extensions;

use crate::peer::{Peer, network};

/// One of the callers that a request counts against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Caller {
    /// The connection with this number.
    Connection(u64),
    /// The IPv4 address or /64 network of IPv6 that a connection comes from.
    Network(IpAddr),
    /// The identity whose name has this hash. Its key is the process's own, so that nobody can choose a name that counts
    /// against another.
    Identity(u64),
}

/// The callers that one request counts against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Callers([Option<Caller>; 3]);

// === impl Callers ===

impl Callers {
    /// Returns the callers of a request with these extensions: none if no server has put its [`Peer`] there.
    pub(crate) fn of(extensions: &Extensions) -> Self {
        let peer = Peer::of(extensions);
        let connection = peer.map(|peer| Caller::Connection(peer.connection));
        // A proxy on this machine has a loopback address, and so has everybody behind it.
        let network = peer.map(|peer| network(peer.address.ip())).filter(|network| !network.is_loopback());
        Self([connection, network.map(Caller::Network), identity(extensions).map(Caller::identity)])
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Caller> {
        self.0.into_iter().flatten()
    }
}

// === impl Caller ===

impl Caller {
    /// The kinds of callers.
    pub(crate) const KINDS: [&str; 3] = ["connection", "address", "identity"];

    fn identity(name: &str) -> Self {
        static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        Self::Identity(HASHER.hash_one(name))
    }

    /// Returns what kind of caller this is, for messages.
    pub(crate) fn kind(self) -> &'static str {
        let [connection, address, identity] = Self::KINDS;
        match self {
            Self::Connection(_) => connection,
            Self::Network(_) => address,
            Self::Identity(_) => identity,
        }
    }
}

/// Returns the name of the identity that the request was authenticated as.
fn identity(_extensions: &Extensions) -> Option<&str> {
    None
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn callers(address: &str) -> Vec<Caller> {
        let mut extensions = Extensions::new();
        let peer = Peer { address: address.parse().unwrap(), connection: 7, certificate: None };
        extensions.insert(Arc::new(peer));
        Callers::of(&extensions).iter().collect()
    }

    #[test]
    fn a_request_counts_against_its_connection_and_its_network() {
        let network = |address: &str| Caller::Network(address.parse().unwrap());
        assert_eq!(callers("192.0.2.1:5000"), [Caller::Connection(7), network("192.0.2.1")]);
        assert_eq!(callers("[2001:db8::7]:5000"), [Caller::Connection(7), network("2001:db8::")]);
        assert_eq!(callers("127.0.0.1:5000"), [Caller::Connection(7)], "a proxy on this machine");
        assert_eq!(callers("[::1]:5000"), [Caller::Connection(7)]);
        assert_eq!(Callers::of(&Extensions::new()).iter().count(), 0);
    }

    #[test]
    fn an_identity_is_known_by_its_name() {
        assert_eq!(Caller::identity("orders"), Caller::identity("orders"));
        assert_ne!(Caller::identity("orders"), Caller::identity("billing"));
    }
}
