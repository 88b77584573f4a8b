//! Resolves a backend's names into endpoints, again and again.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use crate::{
    endpoints::{set::EndpointSet, subset::Subset},
    target::Target,
};
use futures::{
    FutureExt as _,
    future::{BoxFuture, join_all},
};

/// The shortest time between two resolutions: name servers are shared with others.
const MIN_INTERVAL: Duration = Duration::from_millis(500);

/// How long a name server may take. The operating system's look-up cannot be cancelled, so a later resolution waits for the
/// same one.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// A change of a backend's addresses.
#[derive(Debug)]
pub(crate) enum Change<'a> {
    /// A new address, and the target that it belongs to.
    Insert(SocketAddr, &'a Target),
    /// An address that is gone.
    Remove(SocketAddr),
}

/// The addresses of a backend, and the position of the name that each belongs to.
type Known = BTreeMap<SocketAddr, usize>;

type Lookup = BoxFuture<'static, io::Result<BTreeSet<SocketAddr>>>;

/// A name, and what it resolved to.
struct Name {
    target: Target,
    addresses: BTreeSet<SocketAddr>,
    /// Why the last resolution failed.
    failure: Option<String>,
    /// A look-up that has not ended.
    lookup: Option<Lookup>,
}

/// Resolves the targets' hosts every so often, and soon after an endpoint was lost, until it is dropped. `apply` is given
/// each change; addresses that are gone are removed from the set. Only the addresses that `subset` chooses are used.
///
/// A name that cannot be resolved keeps its last addresses: a name server that is down must not take the backend with it.
pub(crate) async fn resolve_endpoints(
    targets: Vec<Target>,
    every: Duration,
    subset: Subset,
    set: Arc<EndpointSet>,
    mut apply: impl FnMut(Change<'_>) + Send,
) {
    let mut names: Vec<_> = targets.iter().map(Name::of).collect();
    let mut known = Known::new();
    loop {
        join_all(names.iter_mut().map(Name::resolve)).await;
        known = update(&names, &known, &subset, &set, &mut apply);
        // Calls that wait look again after this.
        set.set_resolution_error(names.iter().find_map(|name| name.failure.clone()));
        if names.iter().all(Name::is_address) {
            // An address stays what it is.
            return;
        }
        next_resolution(every, &set).await;
    }
}

/// Applies what has changed since the addresses were `known`, and returns those of now.
fn update(
    names: &[Name],
    known: &Known,
    subset: &Subset,
    set: &EndpointSet,
    mut apply: impl FnMut(Change<'_>),
) -> Known {
    let mut found = Known::new();
    for (position, name) in names.iter().enumerate() {
        for address in &name.addresses {
            // Two names may have an address: it stays with the one that had it first.
            let before = known.get(address).copied().filter(|before| names[*before].addresses.contains(address));
            found.entry(*address).or_insert(before.unwrap_or(position));
        }
    }
    choose(&mut found, known, subset, set);
    let remove = |address, apply: &mut dyn FnMut(Change<'_>)| {
        apply(Change::Remove(address));
        set.remove(address);
    };
    // New ones come first, so that there are never fewer than need be.
    for (&address, &position) in &found {
        let target = &names[position].target;
        match known.get(&address) {
            None => apply(Change::Insert(address, target)),
            // Another replica has it now, whose certificate has another name.
            Some(&before) if names[before].target.server_name() != target.server_name() => {
                remove(address, &mut apply);
                apply(Change::Insert(address, target));
            }
            Some(_) => {}
        }
    }
    for &address in known.keys().filter(|address| !found.contains_key(address)) {
        remove(address, &mut apply);
    }
    found
}

/// Removes the addresses that are not chosen. Of those that were before, as many stay as others are not ready yet: a
/// connection is not given up for one that may never be.
fn choose(found: &mut Known, known: &Known, subset: &Subset, set: &EndpointSet) {
    let left_out = subset.choose(found);
    let missing = found.keys().filter(|address| !set.is_ready_at(**address)).count();
    let may_stay = |address: &SocketAddr| known.contains_key(address) && set.is_ready_at(*address);
    found.extend(left_out.into_iter().filter(|(address, _)| may_stay(address)).take(missing));
}

/// Waits until it is time to resolve again.
async fn next_resolution(every: Duration, set: &EndpointSet) {
    let soon = MIN_INTERVAL.min(every);
    tokio::time::sleep(soon).await;
    let _ = tokio::time::timeout(every.saturating_sub(soon), set.resolution_requested()).await;
}

// === impl Name ===

impl Name {
    fn of(target: &Target) -> Self {
        Self { target: target.clone(), addresses: BTreeSet::new(), failure: None, lookup: None }
    }

    fn is_address(&self) -> bool {
        self.target.host().parse::<IpAddr>().is_ok()
    }

    /// Resolves the name, and sets its addresses or why there are no new ones.
    async fn resolve(&mut self) {
        let (host, port) = (self.target.host().to_owned(), self.target.port());
        let lookup = self
            .lookup
            .get_or_insert_with(|| async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) }.boxed());
        let failure = match tokio::time::timeout(LOOKUP_TIMEOUT, &mut *lookup).await {
            Ok(result) => {
                self.lookup = None;
                match result {
                    Ok(addresses) => {
                        self.addresses = addresses;
                        None
                    }
                    Err(error) => Some(format!("{} cannot be resolved: {error}", self.target.host())),
                }
            }
            Err(_) => Some(format!(
                "{} cannot be resolved: no answer within {} s",
                self.target.host(),
                LOOKUP_TIMEOUT.as_secs()
            )),
        };
        // Logged when it starts, not at each attempt.
        if let Some(error) = failure.as_ref().filter(|failure| self.failure.as_ref() != Some(failure)) {
            tracing::warn!(%error, known = self.addresses.len(), "the last known addresses are kept");
        }
        self.failure = failure;
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, iter::repeat_with, num::NonZeroUsize};

    use super::*;
    use crate::endpoints::endpoint::ConnectivityState;

    fn addresses(ports: &BTreeSet<u16>) -> BTreeSet<SocketAddr> {
        ports.iter().map(|port| SocketAddr::from(([127, 0, 0, 1], *port))).collect()
    }

    #[tokio::test]
    async fn an_address_is_resolved_once_and_a_name_to_all_of_its_addresses() {
        let set = Arc::new(EndpointSet::new(0.5));
        let targets = ["http://127.0.0.1:1", "http://[::1]:2"].map(|target| target.parse().unwrap());
        let mut found = Vec::new();
        let apply = |change: Change<'_>| match change {
            Change::Insert(address, _) => found.push(address.to_string()),
            Change::Remove(_) => panic!("{change:?}"),
        };
        resolve_endpoints(targets.to_vec(), Duration::from_secs(1), Subset::new(None), set, apply).await;
        assert_eq!(found, ["127.0.0.1:1", "[::1]:2"]);
    }

    /// Returns the names with these ports, and what has changed since they had the others.
    fn changes(targets: [&str; 2], before: [&[u16]; 2], now: [&[u16]; 2]) -> Vec<String> {
        let names = |ports: [&[u16]; 2]| {
            let names = targets.iter().zip(ports).map(|(target, ports)| Name {
                addresses: addresses(&ports.iter().copied().collect()),
                ..Name::of(&target.parse().unwrap())
            });
            names.collect::<Vec<_>>()
        };
        let (set, subset, mut changes) = (EndpointSet::new(0.5), Subset::new(None), Vec::new());
        let known = update(&names(before), &Known::new(), &subset, &set, |_| {});
        update(&names(now), &known, &subset, &set, |change| {
            changes.push(match change {
                Change::Insert(address, target) => format!("+{} {}", address.port(), target.host()),
                Change::Remove(address) => format!("-{}", address.port()),
            });
        });
        changes
    }

    #[test]
    fn an_address_that_goes_to_another_name_is_verified_against_that() {
        let tls = ["https://users-1:1", "https://users-2:1"];
        assert_eq!(changes(tls, [&[1], &[2]], [&[1], &[2, 3]]), ["+3 users-2"]);
        assert_eq!(changes(tls, [&[1], &[2]], [&[3], &[1]]), ["-1", "+1 users-2", "+3 users-1", "-2"]);
        assert_eq!(changes(tls, [&[], &[1]], [&[1], &[1]]), [""; 0], "both have it");
        assert_eq!(changes(["http://users-1:1", "http://users-2:1"], [&[1], &[2]], [&[2], &[1]]), [""; 0]);
    }

    #[test]
    fn one_that_is_chosen_replaces_another_when_it_is_ready() {
        let [one, other] = [1, 2].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let chooses_the_other = |subset: &Subset| {
            let mut both = Known::from([(one, 0), (other, 0)]);
            subset.choose(&mut both);
            both.contains_key(&other)
        };
        let subset = repeat_with(|| Subset::new(NonZeroUsize::new(1))).find(chooses_the_other).unwrap();
        let (set, added) = (EndpointSet::new(0.5), RefCell::<BTreeMap<_, _>>::default());
        let update = |known: &[SocketAddr], now: &[SocketAddr]| {
            let mut name = Name::of(&"http://users:1".parse().unwrap());
            name.addresses = now.iter().copied().collect();
            let known = known.iter().map(|address| (*address, 0)).collect();
            let known = update(&[name], &known, &subset, &set, |change| {
                if let Change::Insert(address, _) = change {
                    added.borrow_mut().insert(address, set.add(address, 1));
                }
            });
            known.into_keys().collect::<Vec<_>>()
        };
        let ready = |address| set.set_connectivity(&added.borrow()[&address], ConnectivityState::Ready);
        assert_eq!(update(&[], &[one]), [one]);
        ready(one);
        assert_eq!(update(&[one], &[one, other]), [one, other], "the other is not ready yet");
        assert_eq!(update(&[one, other], &[one, other]), [one, other]);
        ready(other);
        assert_eq!(update(&[one, other], &[one, other]), [other]);
        assert!(!set.is_ready_at(one), "it is removed");
        assert_eq!(update(&[other], &[one]), [one], "the other is gone");
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_server_that_hangs_is_asked_once_and_the_addresses_stay() {
        let mut name = Name::of(&"http://users:1".parse().unwrap());
        name.addresses = addresses(&BTreeSet::from([1]));
        let (answer, answered) = tokio::sync::oneshot::channel();
        name.lookup = Some(async { answered.await.map_err(io::Error::other) }.boxed());
        name.resolve().await;
        assert_eq!(name.failure.as_deref(), Some("users cannot be resolved: no answer within 5 s"));
        assert_eq!(name.addresses, addresses(&BTreeSet::from([1])));
        answer.send(addresses(&BTreeSet::from([2]))).unwrap();
        name.resolve().await;
        assert_eq!((name.failure, name.addresses), (None, addresses(&BTreeSet::from([2]))));
    }
}
