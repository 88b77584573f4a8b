//! The limits on open connections, of all peers and of each.

use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Instant};

use parking_lot::Mutex;
use rpc_layers::{Throttle, peer::network};

use super::ConnectionLimits;

/// Counts the open connections, and rejects those above a limit.
#[derive(Debug)]
pub(super) struct Admission {
    limits: ConnectionLimits,
    open: Arc<Mutex<Open>>,
    rejected: Throttle,
}

#[derive(Debug, Default)]
struct Open {
    all: usize,
    by_peer: HashMap<IpAddr, usize>,
}

/// An open connection. It is counted until this is dropped.
#[derive(Debug)]
pub(super) struct ConnectionPermit {
    open: Arc<Mutex<Open>>,
    /// `None` if its peer has no limit.
    peer: Option<IpAddr>,
}

/// The limit that a connection exceeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exceeded {
    All,
    Peer,
}

// === impl Admission ===

impl Admission {
    pub(super) fn new(limits: ConnectionLimits) -> Self {
        Self { limits, open: Arc::default(), rejected: Throttle::default() }
    }

    /// Counts a connection from this address. Returns `None`, and logs a warning, if there are too many.
    pub(super) fn admit(&self, address: IpAddr) -> Option<ConnectionPermit> {
        let peer = peer(address);
        let added = self.open.lock().add(peer, self.limits);
        match added {
            Ok(()) => return Some(ConnectionPermit { open: Arc::clone(&self.open), peer }),
            Err(exceeded) => self.warn(address, exceeded),
        }
        None
    }

    fn warn(&self, peer: IpAddr, exceeded: Exceeded) {
        let Some(others) = self.rejected.allow(Instant::now()) else { return };
        let ConnectionLimits { max, max_per_peer, .. } = self.limits;
        match exceeded {
            Exceeded::All => tracing::warn!(max, %peer, others, "connections are rejected: too many are open"),
            Exceeded::Peer => {
                tracing::warn!(max_per_peer, %peer, others, "connections are rejected: their peer has too many open");
            }
        }
    }
}

/// Returns what counts as one peer. Returns `None` for loopback addresses, which everything on this machine has, a proxy
/// included.
fn peer(address: IpAddr) -> Option<IpAddr> {
    Some(network(address)).filter(|network| !network.is_loopback())
}

// === impl Open ===

impl Open {
    fn add(&mut self, peer: Option<IpAddr>, limits: ConnectionLimits) -> Result<(), Exceeded> {
        if self.all >= limits.max {
            return Err(Exceeded::All);
        }
        if let Some(peer) = peer {
            let open = self.by_peer.entry(peer).or_default();
            if *open >= limits.max_per_peer {
                return Err(Exceeded::Peer);
            }
            *open += 1;
        }
        self.all += 1;
        Ok(())
    }

    fn remove(&mut self, peer: Option<IpAddr>) {
        self.all -= 1;
        if let Some(peer) = peer
            && let Some(open) = self.by_peer.get_mut(&peer)
        {
            *open -= 1;
            if *open == 0 {
                self.by_peer.remove(&peer);
            }
        }
    }
}

// === impl ConnectionPermit ===

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.open.lock().remove(self.peer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(max: usize, max_per_peer: usize) -> Admission {
        Admission::new(ConnectionLimits { max, max_per_peer, ..ConnectionLimits::default() })
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_of_ipv6_is_one_peer_and_loopback_is_none() {
        assert_eq!(peer(ip("192.0.2.1")), Some(ip("192.0.2.1")));
        assert_eq!(peer(ip("::ffff:192.0.2.1")), Some(ip("192.0.2.1")));
        assert_eq!(peer(ip("2001:db8:1:2:3:4:5:6")), Some(ip("2001:db8:1:2::")));
        for loopback in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(peer(ip(loopback)), None, "{loopback}");
        }
    }

    #[test]
    fn a_peer_has_a_limit_within_that_of_all() {
        let admission = admission(3, 2);
        let first = admission.admit(ip("192.0.2.1"));
        let _second = admission.admit(ip("192.0.2.1")).unwrap();
        assert!(admission.admit(ip("192.0.2.1")).is_none(), "the peer's third");
        let _other = admission.admit(ip("192.0.2.2")).unwrap();
        assert!(admission.admit(ip("192.0.2.3")).is_none(), "the fourth of all");
        assert!(admission.admit(ip("127.0.0.1")).is_none(), "loopback counts among all");
        drop(first);
        let _again = admission.admit(ip("192.0.2.1")).unwrap();
    }

    #[test]
    fn closed_connections_leave_nothing_behind() {
        let admission = admission(3, 2);
        drop(admission.admit(ip("192.0.2.1")));
        drop(admission.admit(ip("::1")));
        let open = admission.open.lock();
        assert_eq!((open.all, open.by_peer.len()), (0, 0));
    }
}
