//! The connections that are open, and which of them gives way.

use std::{
    collections::{BinaryHeap, HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use crate::connections::{ConnectionLimits, calls::Calls};

/// Which part of all connections is for peers that have few: the last quarter. So a few peers with as many as each may
/// have do not keep the others out.
const RESERVE: usize = 4;

/// Which part of what is left of that one peer may have. It falls as the reserve does, as with permits for requests
/// (`rpc_layers::limit`): something is left for a peer that comes later.
const PART: usize = 16;

/// What part of all connections may be closing: those have given way to others, and may finish what they have begun. More
/// are closed at once.
const CLOSING_PART: usize = 8;

/// How many idle connections are looked for at once: to look through all of them for each new one would take longer than
/// to accept it.
const BATCH: usize = 32;

/// How long the idle connections that were found may be used: others may be idle by then.
const FOUND_FOR: Duration = Duration::from_millis(100);

/// How long it is known that there is no idle connection.
const NONE_FOR: Duration = Duration::from_millis(10);

/// The connections that are open.
#[derive(Debug, Default)]
pub(super) struct Open {
    pub(super) connections: HashMap<u64, OpenConnection>,
    pub(super) by_network: HashMap<IpAddr, usize>,
    /// Those that have given way, and may finish what they have begun.
    pub(super) closing: HashSet<u64>,
    found: Option<FoundIdle>,
    next: u64,
}

/// Idle connections of this network, or of all.
#[derive(Debug)]
struct FoundIdle {
    network: Option<IpAddr>,
    until: Instant,
    /// With the time since when each is idle. The last gives way first.
    idle: Vec<(Instant, u64)>,
}

#[derive(Debug)]
pub(super) struct OpenConnection {
    network: IpAddr,
    calls: Arc<Calls>,
    pub(super) closes: CancellationToken,
}

/// The limit that a connection exceeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exceeded {
    All,
    Peer,
    /// Few connections are left, and the peer has more of them than others.
    Share,
}

// === impl Open ===

impl Open {
    /// Returns the limit that another connection of this network would exceed. A loopback address has none of its own:
    /// everything on this machine has it, a proxy included.
    pub(super) fn exceeded(&self, network: IpAddr, limits: ConnectionLimits) -> Option<Exceeded> {
        let of_network = self.by_network.get(&network).copied().unwrap_or_default();
        if !network.is_loopback() && of_network >= limits.max_per_peer {
            return Some(Exceeded::Peer);
        }
        if self.connections.len() >= limits.max {
            return Some(Exceeded::All);
        }
        (!network.is_loopback() && of_network >= self.share(of_network, limits.max)).then_some(Exceeded::Share)
    }

    /// Returns how many of `max` connections a network may have that has so many.
    fn share(&self, open: usize, max: usize) -> usize {
        let all = self.connections.len();
        let left = max - all;
        // One that is alone keeps nobody out.
        if left > max / RESERVE || open == all { max } else { (left / PART).max(1) }
    }

    pub(super) fn add(&mut self, network: IpAddr, closes: CancellationToken) -> (u64, Arc<Calls>, CancellationToken) {
        let (number, calls) = (self.next, Arc::<Calls>::default());
        let connection = OpenConnection { network, calls: Arc::clone(&calls), closes: closes.clone() };
        self.connections.insert(number, connection);
        *self.by_network.entry(network).or_default() += 1;
        self.next += 1;
        (number, calls, closes)
    }

    /// Removes the connection that gives way to another one of this network, of `max` in all. It is one of the network that
    /// exceeds the limit, or that has the most idle ones.
    pub(super) fn close_idle(&mut self, exceeded: Exceeded, network: IpAddr, max: usize) -> Option<OpenConnection> {
        let network = match exceeded {
            Exceeded::Peer | Exceeded::Share => Some(network),
            Exceeded::All => None,
        };
        let number = self.find_idle(network, Instant::now())?;
        let connection = self.remove(number);
        if self.closing.len() < (max / CLOSING_PART).max(1) {
            self.closing.insert(number);
        }
        connection
    }

    /// Returns an idle connection of this network, or of all.
    fn find_idle(&mut self, network: Option<IpAddr>, now: Instant) -> Option<u64> {
        if let Some(found) = &mut self.found
            && found.network == network
            && now < found.until
        {
            if found.idle.is_empty() {
                return None;
            }
            while let Some((since, number)) = found.idle.pop() {
                // It may have had a call since then, or be closed.
                let connection = self.connections.get(&number);
                if connection.and_then(|connection| connection.calls.idle_since()) == Some(since) {
                    return Some(number);
                }
            }
        }
        let mut idle = self.idle(network);
        let next = idle.pop();
        let until = now + if next.is_some() { FOUND_FOR } else { NONE_FOR };
        // If this was the only one, others are looked for next time.
        self.found = (next.is_none() || !idle.is_empty()).then_some(FoundIdle { network, until, idle });
        next.map(|(_, number)| number)
    }

    /// Returns idle connections of this network, or of the networks that have the most. Of each network those that have had
    /// no call are the last, then those that have been idle for longest.
    fn idle(&self, network: Option<IpAddr>) -> Vec<(Instant, u64)> {
        let mut by_network = HashMap::<IpAddr, Vec<_>>::new();
        for (number, connection) in &self.connections {
            if network.is_none_or(|network| network == connection.network)
                && let Some(since) = connection.calls.idle_since()
            {
                let order = (connection.calls.has_started_any(), since, *number);
                by_network.entry(connection.network).or_default().push(order);
            }
        }
        let mut most: BinaryHeap<_> = by_network.iter().map(|(network, idle)| (idle.len(), *network)).collect();
        for idle in by_network.values_mut() {
            idle.sort_unstable_by(|one, other| other.cmp(one));
        }
        let mut found = Vec::new();
        while found.len() < BATCH
            && let Some((count, network)) = most.pop()
        {
            if let Some((_, since, number)) = by_network.get_mut(&network).and_then(Vec::pop) {
                found.push((since, number));
                most.push((count - 1, network));
            }
        }
        found.reverse();
        found
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<OpenConnection> {
        let connection = self.connections.remove(&number)?;
        if let Some(open) = self.by_network.get_mut(&connection.network) {
            *open -= 1;
            if *open == 0 {
                self.by_network.remove(&connection.network);
            }
        }
        Some(connection)
    }
}
