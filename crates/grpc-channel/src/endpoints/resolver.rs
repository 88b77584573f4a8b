//! Resolves a backend's names into endpoints, again and again.

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use crate::{endpoints::set::EndpointSet, target::Target};
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
/// each change; addresses that are gone are removed from the set.
///
/// A name that cannot be resolved keeps its last addresses: a name server that is down must not take the backend with it.
pub(crate) async fn resolve_endpoints(
    targets: Vec<Target>,
    every: Duration,
    set: Arc<EndpointSet>,
    mut apply: impl FnMut(Change<'_>) + Send,
) {
    let mut names: Vec<_> = targets.iter().map(Name::of).collect();
    let mut known = BTreeSet::new();
    loop {
        join_all(names.iter_mut().map(Name::resolve)).await;
        let found: BTreeSet<_> = names.iter().flat_map(|name| &name.addresses).copied().collect();
        // New ones come first, so that there are never fewer than need be.
        for &address in found.difference(&known) {
            if let Some(name) = names.iter().find(|name| name.addresses.contains(&address)) {
                apply(Change::Insert(address, &name.target));
            }
        }
        for &address in known.difference(&found) {
            apply(Change::Remove(address));
            set.remove(address);
        }
        known = found;
        // Calls that wait look again after this.
        set.set_resolution_error(names.iter().find_map(|name| name.failure.clone()));
        if names.iter().all(Name::is_address) {
            // An address stays what it is.
            return;
        }
        next_resolution(every, &set).await;
    }
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
    use super::*;

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
        resolve_endpoints(targets.to_vec(), Duration::from_secs(1), set, apply).await;
        assert_eq!(found, ["127.0.0.1:1", "[::1]:2"]);
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
