//! The limits on open connections, of all peers and of each.

use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Instant};

use parking_lot::Mutex;
use rpc_layers::{Throttle, peer::network};

use super::ConnectionLimits;

/// Which part of all connections is for peers that have few: the last quarter. So a few peers with as many as each may
/// have do not keep the others out.
const RESERVE: usize = 4;

/// Which part of what is left of that one peer may have. It falls as the reserve does, as with permits for requests
/// (`rpc_layers::limit`): something is left for a peer that comes later.
const PART: usize = 16;

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
    /// Few connections are left, and the peer has more of them than others.
    Share,
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
            Exceeded::Share => {
                tracing::warn!(max, %peer, others, "connections are rejected: few are left, and their peer has its share");
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
            let open = self.by_peer.get(&peer).copied().unwrap_or_default();
            if open >= limits.max_per_peer {
                return Err(Exceeded::Peer);
            }
            if open >= self.share(open, limits.max) {
                return Err(Exceeded::Share);
            }
            self.by_peer.insert(peer, open + 1);
        }
        self.all += 1;
        Ok(())
    }

    /// Returns how many of `max` connections a peer may have that has so many.
    fn share(&self, open: usize, max: usize) -> usize {
        let left = max - self.all;
        // One that is alone keeps nobody out.
        if left > max / RESERVE || open == self.all { max } else { (left / PART).max(1) }
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
    fn a_few_peers_do_not_keep_the_others_out() {
        let admission = admission(400, 100);
        let take_all = |address: &str| -> Vec<_> { std::iter::from_fn(|| admission.admit(ip(address))).collect() };
        let mut taken: Vec<_> = (1..=30).map(|last| take_all(&format!("192.0.2.{last}"))).collect();
        let counts: Vec<_> = taken.iter().map(Vec::len).collect();
        assert_eq!(counts[..6], [100, 100, 100, 5, 5, 5], "the last quarter is shared");
        let _late = admission.admit(ip("198.51.100.1")).expect("something is left");
        let _own = admission.admit(ip("127.0.0.1")).expect("also for the service's own health check");
        assert!(admission.admit(ip("192.0.2.30")).is_none());
        taken.remove(0);
        assert!(take_all("198.51.100.2").len() > 5, "what is free again is shared too");
    }

    #[test]
    fn a_peer_that_is_alone_has_all_that_a_peer_may_have() {
        let admission = admission(100, 100);
        let taken: Vec<_> = std::iter::from_fn(|| admission.admit(ip("192.0.2.1"))).collect();
        assert_eq!(taken.len(), 100);
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
