//! The limits on open connections, of all peers and of each, and which connection gives way to a new one.
//!
//! A connection without calls costs its peer nothing. If those counted as much as others, a peer that opens as many as
//! there may be would keep everybody else out. So an idle one is closed for each new one: clients connect again when they
//! make their next call.

mod open;

use std::{net::IpAddr, sync::Arc, time::Instant};

use parking_lot::Mutex;
use rpc_layers::{Throttle, peer::network};
use tokio_util::sync::CancellationToken;

use self::open::{Exceeded, Open};
use super::{ConnectionLimits, calls::Calls};

/// Counts the open connections. At a limit, closes an idle one for each new one, or rejects the new one if there is none.
#[derive(Debug)]
pub(super) struct Admission {
    limits: ConnectionLimits,
    /// Cancelled when the drain starts.
    draining: CancellationToken,
    open: Arc<Mutex<Open>>,
    exceeded: Throttle,
}

/// An open connection. It is counted until this is dropped, or until it gives way.
#[derive(Debug)]
pub(super) struct ConnectionPermit {
    open: Arc<Mutex<Open>>,
    number: u64,
    calls: Arc<Calls>,
    closes: CancellationToken,
}

/// How a connection is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closing {
    /// When its calls have ended: the server drains.
    Drain,
    /// Soon: it was idle, and gives way to another one.
    Soon,
    /// At once: so do too many others.
    Now,
}

// === impl Admission ===

impl Admission {
    /// Returns the limits of a server whose connections close when `draining` is cancelled.
    pub(super) fn new(limits: ConnectionLimits, draining: CancellationToken) -> Self {
        Self { limits, draining, open: Arc::default(), exceeded: Throttle::default() }
    }

    /// Counts a connection from this address. If there are too many, logs a warning, and closes an idle one. Returns `None`
    /// if all have calls in flight.
    pub(super) fn admit(&self, address: IpAddr) -> Option<ConnectionPermit> {
        let network = network(address);
        let mut open = self.open.lock();
        let exceeded = open.exceeded(network, self.limits);
        let idle = exceeded.map(|exceeded| open.close_idle(exceeded, network, self.limits.max));
        let permit = match idle {
            None | Some(Some(_)) => Some(open.add(network, self.draining.child_token())),
            Some(None) => None,
        };
        drop(open);
        if let Some(idle) = idle.as_ref().and_then(Option::as_ref) {
            idle.closes.cancel();
        }
        if let Some(exceeded) = exceeded {
            self.warn(address, exceeded, permit.is_some());
        }
        let (number, calls, closes) = permit?;
        Some(ConnectionPermit { open: Arc::clone(&self.open), number, calls, closes })
    }

    fn warn(&self, peer: IpAddr, exceeded: Exceeded, admitted: bool) {
        let Some(others) = self.exceeded.allow(Instant::now()) else { return };
        let ConnectionLimits { max, max_per_peer, .. } = self.limits;
        match (exceeded, admitted) {
            (Exceeded::All, true) => {
                tracing::warn!(max, %peer, others, "idle connections are closed: too many are open");
            }
            (Exceeded::All, false) => tracing::warn!(max, %peer, others, "connections are rejected: too many are open"),
            (Exceeded::Peer, true) => {
                tracing::warn!(max_per_peer, %peer, others, "idle connections are closed: their peer has too many open");
            }
            (Exceeded::Peer, false) => {
                tracing::warn!(max_per_peer, %peer, others, "connections are rejected: their peer has too many open");
            }
            (Exceeded::Share, true) => {
                tracing::warn!(max, %peer, others, "idle connections are closed: few are left, and their peer has its share");
            }
            (Exceeded::Share, false) => {
                tracing::warn!(max, %peer, others, "connections are rejected: few are left, and their peer has its share");
            }
        }
    }
}

// === impl ConnectionPermit ===

impl ConnectionPermit {
    /// Returns the calls of the connection.
    pub(super) fn calls(&self) -> &Arc<Calls> {
        &self.calls
    }

    /// Waits until the connection is to be closed, and returns how. Ready each time after that. Cancel safe.
    pub(super) async fn closes(&self) -> Closing {
        self.closes.cancelled().await;
        let open = self.open.lock();
        if open.connections.contains_key(&self.number) {
            Closing::Drain
        } else if open.closing.contains(&self.number) {
            Closing::Soon
        } else {
            Closing::Now
        }
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut open = self.open.lock();
        open.remove(self.number);
        open.closing.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::{super::calls::CallInFlight, *};

    fn admission(max: usize, max_per_peer: usize) -> Admission {
        let limits = ConnectionLimits { max, max_per_peer, ..ConnectionLimits::default() };
        Admission::new(limits, CancellationToken::new())
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Connects, and makes a call that does not end before the connection does.
    fn busy(admission: &Admission, address: &str) -> Option<(CallInFlight, ConnectionPermit)> {
        let permit = admission.admit(ip(address))?;
        Some((permit.calls().begin(), permit))
    }

    /// Makes a call that ends at once.
    fn call(permit: &ConnectionPermit) {
        permit.calls().begin().start();
    }

    #[tokio::test]
    async fn a_peer_has_a_limit_within_that_of_all_and_loopback_is_none() {
        let admission = admission(4, 2);
        let first = busy(&admission, "192.0.2.1");
        let _second = busy(&admission, "192.0.2.1").unwrap();
        assert!(busy(&admission, "192.0.2.1").is_none(), "the peer's third");
        let _others = ["::1", "::1"].map(|address| busy(&admission, address).unwrap());
        assert!(busy(&admission, "192.0.2.3").is_none(), "the fifth of all");
        assert!(busy(&admission, "127.0.0.1").is_none(), "loopback counts among all");
        drop(first);
        let _other = busy(&admission, "192.0.2.9").unwrap();
    }

    #[tokio::test]
    async fn a_network_of_ipv6_is_one_peer() {
        let admission = admission(9, 1);
        let _first = busy(&admission, "2001:db8:1:2:3:4:5:6").unwrap();
        assert!(busy(&admission, "2001:db8:1:2::9").is_none());
        let _mapped = busy(&admission, "::ffff:192.0.2.1").unwrap();
        assert!(busy(&admission, "192.0.2.1").is_none());
    }

    #[tokio::test]
    async fn the_oldest_connection_without_a_call_gives_way_then_the_oldest_idle_one() {
        let admission = admission(4, 4);
        let open: Vec<_> = (0..4).map(|_| admission.admit(ip("::1")).unwrap()).collect();
        let gone = || open.iter().map(|permit| permit.closes.is_cancelled()).collect::<Vec<_>>();
        call(&open[0]);
        let _busy = open[1].calls().begin();
        let _new = busy(&admission, "::1").unwrap();
        assert_eq!(gone(), [false, false, true, false]);
        let _new = busy(&admission, "::1").unwrap();
        assert_eq!(gone(), [false, false, true, true]);
        let _new = busy(&admission, "::1").unwrap();
        assert_eq!(gone(), [true, false, true, true], "it has had calls, and has none now");
        assert!(busy(&admission, "::1").is_none(), "all others have calls in flight");
    }

    #[tokio::test]
    async fn the_network_with_the_most_idle_connections_gives_way() {
        let admission = admission(4, 3);
        let few = admission.admit(ip("192.0.2.1")).unwrap();
        let many: Vec<_> = (0..3).map(|_| admission.admit(ip("192.0.2.2")).unwrap()).collect();
        let _new = admission.admit(ip("192.0.2.3")).unwrap();
        assert!(!few.closes.is_cancelled() && many[0].closes.is_cancelled());
        // A peer at its own limit makes room itself.
        let _own = admission.admit(ip("192.0.2.2"));
        let _own = admission.admit(ip("192.0.2.2"));
        assert!(!few.closes.is_cancelled());
    }

    #[tokio::test]
    async fn busy_connections_of_another_network_do_not_keep_an_idle_one() {
        let admission = admission(4, 3);
        let busy: Vec<_> = (0..3).map(|_| busy(&admission, "192.0.2.1").unwrap()).collect();
        let idle = admission.admit(ip("192.0.2.2")).unwrap();
        let _new = admission.admit(ip("192.0.2.3")).expect("there is an idle one");
        assert!(idle.closes.is_cancelled() && !busy.iter().any(|(_, permit)| permit.closes.is_cancelled()));
    }

    #[tokio::test]
    async fn the_connection_that_has_been_idle_for_longest_gives_way_first() {
        let admission = admission(3, 3);
        let open: Vec<_> = (0..3).map(|_| admission.admit(ip("::1")).unwrap()).collect();
        for last in [1, 2, 0, 2] {
            call(&open[last]);
        }
        let gone = || open.iter().map(|permit| permit.closes.is_cancelled()).collect::<Vec<_>>();
        let _new = busy(&admission, "::1").unwrap();
        assert_eq!(gone(), [false, true, false]);
        // It was found with the first one, and has had a call since.
        call(&open[0]);
        let _new = busy(&admission, "::1").unwrap();
        assert_eq!(gone(), [false, true, true]);
    }

    #[tokio::test]
    async fn connections_that_give_way_may_finish_unless_there_are_many() {
        let draining = CancellationToken::new();
        let limits = ConnectionLimits { max: 16, ..ConnectionLimits::default() };
        let admission = Admission::new(limits, draining.clone());
        let mut open: Vec<_> = (0..19).map(|_| admission.admit(ip("::1")).unwrap()).collect();
        let mut closing = Vec::new();
        for permit in &open[..3] {
            closing.push(permit.closes().await);
        }
        assert_eq!(closing, [Closing::Soon, Closing::Soon, Closing::Now]);
        assert!(open[3..].iter().all(|permit| !permit.closes.is_cancelled()));
        drop(open.remove(0));
        open.push(admission.admit(ip("::1")).unwrap());
        assert_eq!(open[2].closes().await, Closing::Soon, "one has finished");
        draining.cancel();
        assert_eq!(open[3].closes().await, Closing::Drain);
    }

    #[tokio::test]
    async fn a_few_peers_do_not_keep_the_others_out() {
        let admission = admission(400, 100);
        let take_all = |address: &str| -> Vec<_> { std::iter::from_fn(|| busy(&admission, address)).collect() };
        let mut taken: Vec<_> = (1..=30).map(|last| take_all(&format!("192.0.2.{last}"))).collect();
        let counts: Vec<_> = taken.iter().map(Vec::len).collect();
        assert_eq!(counts[..6], [100, 100, 100, 5, 5, 5], "the last quarter is shared");
        let _late = busy(&admission, "198.51.100.1").expect("something is left");
        let _own = busy(&admission, "127.0.0.1").expect("also for the service's own health check");
        assert!(busy(&admission, "192.0.2.30").is_none());
        taken.remove(0);
        assert!(take_all("198.51.100.2").len() > 5, "what is free again is shared too");
    }

    #[tokio::test]
    async fn a_peer_that_is_alone_has_all_that_a_peer_may_have() {
        let admission = admission(100, 100);
        let taken: Vec<_> = std::iter::from_fn(|| busy(&admission, "192.0.2.1")).collect();
        assert_eq!(taken.len(), 100);
    }

    #[test]
    fn closed_connections_leave_nothing_behind() {
        let admission = admission(1, 2);
        let gives_way = admission.admit(ip("192.0.2.1"));
        drop((admission.admit(ip("::1")), gives_way));
        let open = admission.open.lock();
        assert_eq!((open.connections.len(), open.by_network.len(), open.closing.len()), (0, 0, 0));
    }
}
