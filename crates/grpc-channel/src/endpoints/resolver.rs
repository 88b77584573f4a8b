//! Finds a backend's replicas: resolves its names again and again.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use futures::Stream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tower::discover::Change;

use crate::{endpoints::set::EndpointSet, target::Target};

/// Between two attempts, whatever happens meanwhile: names are other people's servers.
const MIN_INTERVAL: Duration = Duration::from_millis(500);

/// How many changes may wait for the balancer.
const CHANGES: usize = 64;

/// Changes of a backend's replicas, as tower's balancer takes them.
pub(crate) type Changes<S> = Pin<Box<dyn Stream<Item = Result<Change<SocketAddr, S>, Infallible>> + Send>>;

/// What one name stands for.
#[derive(Debug)]
struct Name {
    host: String,
    port: u16,
    addresses: BTreeSet<SocketAddr>,
    /// Why it could not be resolved the last time.
    failure: Option<String>,
}

/// Resolves these URLs' hosts every so often, and soon after a replica is lost. `join` makes the service of a new
/// address; the set is told of addresses that go.
///
/// A name that cannot be resolved keeps its last addresses: a name server that is down must not take the backend with
/// it. Ends when the stream is dropped.
pub(crate) fn discover<S: Send + 'static>(
    targets: &[Target],
    every: Duration,
    set: Arc<EndpointSet>,
    join: impl Fn(SocketAddr) -> S + Send + 'static,
) -> Changes<S> {
    let (sender, receiver) = mpsc::channel(CHANGES);
    let mut names: Vec<_> = targets.iter().map(Name::of).collect();
    tokio::spawn(async move {
        let mut known = BTreeSet::new();
        loop {
            let resolution_error = resolve(&mut names).await;
            let found: BTreeSet<_> = names.iter().flat_map(|name| &name.addresses).copied().collect();
            for change in difference(&known, &found) {
                let change = match change {
                    Change::Insert(address, ()) => Change::Insert(address, join(address)),
                    Change::Remove(address) => {
                        set.remove(address);
                        Change::Remove(address)
                    }
                };
                if sender.send(Ok(change)).await.is_err() {
                    return;
                }
            }
            known = found;
            set.set_resolution_error(resolution_error);
            if names.iter().all(Name::is_address) {
                // There is nothing to ask again.
                return sender.closed().await;
            }
            tokio::select! {
                () = sender.closed() => return,
                () = again(every, &set) => {}
            }
        }
    });
    Box::pin(ReceiverStream::new(receiver))
}

/// Until it is time to resolve again.
async fn again(every: Duration, set: &EndpointSet) {
    let soon = MIN_INTERVAL.min(every);
    tokio::time::sleep(soon).await;
    let _ = tokio::time::timeout(every.saturating_sub(soon), set.resolution_requested()).await;
}

/// Resolves all names, and says why one of them could not be.
async fn resolve(names: &mut [Name]) -> Option<String> {
    for name in &mut *names {
        let failure = match tokio::net::lookup_host((name.host.as_str(), name.port)).await {
            Ok(addresses) => {
                name.addresses = addresses.collect();
                None
            }
            Err(error) => Some(format!("{} cannot be resolved: {error}", name.host)),
        };
        // Said when it begins, not at each attempt.
        if let Some(error) = failure.as_ref().filter(|failure| name.failure.as_ref() != Some(failure)) {
            tracing::warn!(%error, known = name.addresses.len(), "the last known addresses are kept");
        }
        name.failure = failure;
    }
    names.iter().find_map(|name| name.failure.clone())
}

/// What leads from one set of addresses to the other. New ones come first, so that there are never fewer than need be.
fn difference(known: &BTreeSet<SocketAddr>, found: &BTreeSet<SocketAddr>) -> Vec<Change<SocketAddr, ()>> {
    let new = found.difference(known).map(|address| Change::Insert(*address, ()));
    let gone = known.difference(found).map(|address| Change::Remove(*address));
    new.chain(gone).collect()
}

// === impl Name ===

impl Name {
    fn of(target: &Target) -> Self {
        Self { host: target.host().to_owned(), port: target.port(), addresses: BTreeSet::new(), failure: None }
    }

    fn is_address(&self) -> bool {
        self.host.parse::<IpAddr>().is_ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::btree_set, prop_assert_eq, proptest};

    use super::*;

    fn addresses(ports: &BTreeSet<u16>) -> BTreeSet<SocketAddr> {
        ports.iter().map(|port| SocketAddr::from(([127, 0, 0, 1], *port))).collect()
    }

    proptest! {
        #[test]
        fn the_changes_lead_from_the_one_to_the_other(known in btree_set(0_u16..50, 0..20), found in btree_set(0_u16..50, 0..20)) {
            let (known, found) = (addresses(&known), addresses(&found));
            let (mut now, mut fewest) = (known.clone(), known.len());
            for change in difference(&known, &found) {
                match change {
                    Change::Insert(address, ()) => assert!(now.insert(address), "new ones only"),
                    Change::Remove(address) => assert!(now.remove(&address), "known ones only"),
                }
                fewest = fewest.min(now.len());
            }
            prop_assert_eq!(fewest, known.len().min(found.len()));
            prop_assert_eq!(now, found);
        }
    }

    #[tokio::test]
    async fn an_address_is_resolved_once_and_a_name_to_all_of_its_addresses() {
        let set = Arc::new(EndpointSet::new(0.5));
        let targets = ["http://127.0.0.1:1", "http://[::1]:2"].map(|target| target.parse().unwrap());
        let changes = discover(&targets, Duration::from_secs(1), set, |address| address);
        let found: Vec<_> = futures::StreamExt::collect(futures::StreamExt::take(changes, 2)).await;
        let found: Vec<_> = found
            .into_iter()
            .map(|change| match change {
                Ok(Change::Insert(address, _)) => address.to_string(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(found, ["127.0.0.1:1", "[::1]:2"]);
    }
}
