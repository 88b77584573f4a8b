//! Whom a request counts against, in limits that callers share.

use std::{
    hash::{BuildHasher as _, Hash, RandomState},
    net::IpAddr,
    sync::LazyLock,
};

use http::Extensions;

use crate::{
    identity::{Caller, Identity},
    peer::{Peer, network},
};

/// One of the callers that a request counts against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum CallerKey {
    /// The connection with this number.
    Connection(u64),
    /// The IPv4 address or /64 network of IPv6 that a connection comes from.
    Network(IpAddr),
    /// The identity with this hash. Its key is the process's own, so that nobody can choose a name that counts against
    /// another.
    Identity(u64),
}

/// The callers that one request counts against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CallerKeys([Option<CallerKey>; 3]);

// === impl CallerKeys ===

impl CallerKeys {
    /// Returns the callers of a request with these extensions: none if no server has put its [`Peer`] there.
    pub(crate) fn of(extensions: &Extensions) -> Self {
        let peer = Peer::of(extensions);
        let connection = peer.map(|peer| CallerKey::Connection(peer.connection));
        // A proxy on this machine has a loopback address, and so has everybody behind it.
        let network = peer.map(|peer| network(peer.address.ip())).filter(|network| !network.is_loopback());
        Self([connection, network.map(CallerKey::Network), identity(extensions).map(CallerKey::identity)])
    }

    /// Returns the one caller that a request with these extensions counts against in a limit on its rate: its identity, or
    /// the network that it comes from, loopback included. A connection is none: another one costs nothing.
    pub(crate) fn rated(extensions: &Extensions) -> Option<CallerKey> {
        let network = || Peer::of(extensions).map(|peer| CallerKey::Network(network(peer.address.ip())));
        identity(extensions).map(CallerKey::identity).or_else(network)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = CallerKey> {
        self.0.into_iter().flatten()
    }
}

// === impl CallerKey ===

impl CallerKey {
    /// The kinds of callers.
    pub(crate) const KINDS: [&str; 3] = ["connection", "address", "identity"];

    fn identity(identity: impl Hash) -> Self {
        static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        Self::Identity(HASHER.hash_one(identity))
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

/// Returns the identity that a request with these extensions was authenticated as.
fn identity(extensions: &Extensions) -> Option<&Identity> {
    Caller::of(extensions)?.identity.as_ref()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn callers(address: &str) -> Vec<CallerKey> {
        let mut extensions = Extensions::new();
        let peer = Peer { address: address.parse().unwrap(), connection: 7, certificate: None };
        extensions.insert(Arc::new(peer));
        CallerKeys::of(&extensions).iter().collect()
    }

    #[test]
    fn a_request_counts_against_its_connection_and_its_network() {
        let network = |address: &str| CallerKey::Network(address.parse().unwrap());
        assert_eq!(callers("192.0.2.1:5000"), [CallerKey::Connection(7), network("192.0.2.1")]);
        assert_eq!(callers("[2001:db8::7]:5000"), [CallerKey::Connection(7), network("2001:db8::")]);
        assert_eq!(callers("127.0.0.1:5000"), [CallerKey::Connection(7)], "a proxy on this machine");
        assert_eq!(callers("[::1]:5000"), [CallerKey::Connection(7)]);
        assert_eq!(CallerKeys::of(&Extensions::new()).iter().count(), 0);
    }

    #[test]
    fn an_identity_is_known_by_its_name() {
        assert_eq!(CallerKey::identity("orders"), CallerKey::identity("orders"));
        assert_ne!(CallerKey::identity("orders"), CallerKey::identity("billing"));
    }
}
