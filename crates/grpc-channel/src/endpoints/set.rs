//! The endpoints of a backend, and a watch that fires when one changes.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use crate::endpoints::{
    endpoint::{ConnectivityState, Endpoint, Mark},
    outlier_detection::{Epoch, may_eject},
    snapshot::Snapshot,
};

/// How long a failed attempt to connect rejects calls. A call that comes later makes the endpoint connect again.
const FRESH: Duration = Duration::from_millis(100);

/// The endpoints that the resolver found, and why a name has none.
#[derive(Debug)]
pub(crate) struct EndpointSet {
    endpoints: Mutex<BTreeMap<SocketAddr, Arc<Endpoint>>>,
    /// Why the last attempt to resolve a name failed. `None` also before the first one ended.
    resolution_error: Mutex<Option<String>>,
    max_ejected: f64,
    changed: watch::Sender<()>,
    /// How often an endpoint has changed.
    version: AtomicU64,
    is_any_active: Snapshot<bool>,
    lost: Notify,
}

// === impl EndpointSet ===

impl EndpointSet {
    /// Creates an empty set, of which at most this share may be ejected.
    pub(crate) fn new(max_ejected: f64) -> Self {
        Self {
            endpoints: Mutex::default(),
            resolution_error: Mutex::default(),
            max_ejected,
            changed: watch::Sender::new(()),
            version: AtomicU64::new(0),
            is_any_active: Snapshot::default(),
            lost: Notify::new(),
        }
    }

    /// Adds the endpoint at this address, which may have so many connections.
    pub(crate) fn add(&self, address: SocketAddr, max_connections: usize) -> Arc<Endpoint> {
        let endpoint = {
            let mut endpoints = self.endpoints();
            let mark = Mark::unlike(endpoints.values().map(|endpoint| endpoint.mark));
            let endpoint = Arc::new(Endpoint::new(address, mark, max_connections));
            endpoints.insert(address, Arc::clone(&endpoint));
            endpoint
        };
        self.notify(true);
        endpoint
    }

    pub(crate) fn remove(&self, address: SocketAddr) {
        self.endpoints().remove(&address);
        self.notify(true);
    }

    /// Sets why a name has no address, or `None` if all have one.
    pub(crate) fn set_resolution_error(&self, why: Option<String>) {
        *self.resolution_error.lock() = why;
        self.notify(true);
    }

    pub(crate) fn set_connectivity(&self, endpoint: &Endpoint, connectivity: ConnectivityState) {
        let was_ready = endpoint.set_connectivity(connectivity) == ConnectivityState::Ready;
        self.connectivity_changed(was_ready);
    }

    /// Notices that a call was not sent because the connections of its endpoint are closed: the next one does not try it
    /// again before it is connected.
    pub(crate) fn notice_loss(&self, endpoint: &Endpoint) {
        if endpoint.notice_loss() {
            self.connectivity_changed(true);
        }
    }

    fn connectivity_changed(&self, was_ready: bool) {
        if was_ready && !self.is_ready() {
            // The last ready endpoint is lost. Those that failed may have come back since.
            self.reconnect_after(Duration::ZERO);
        }
        self.notify(true);
    }

    /// Makes all failed endpoints connect again at once, unless they have just tried. Returns whether it is worth waiting
    /// for them.
    pub(crate) fn reconnect(&self) -> bool {
        // A name without an address may have one now.
        self.request_resolution();
        self.reconnect_after(FRESH)
    }

    fn reconnect_after(&self, age: Duration) -> bool {
        // Each tells its own connect loop, and leaves the others alone.
        self.endpoints().values().filter(|endpoint| endpoint.retry_if_failed_for(age)).count() > 0
    }

    /// Lets the next attempt to connect to an endpoint wait, unless a call waits for it, or comes to.
    pub(crate) fn rest(&self, endpoint: &Endpoint) {
        endpoint.rest();
        self.notify(true);
    }

    /// Makes all resting endpoints connect, because a call waits for them.
    pub(crate) fn end_rest(&self) {
        self.endpoints().values().for_each(|endpoint| endpoint.end_rest());
    }

    /// Asks the resolver to resolve again soon: an endpoint was lost, and its address may be gone.
    pub(crate) fn request_resolution(&self) {
        self.lost.notify_one();
    }

    /// Completes when a resolution is requested. Cancel safe.
    pub(crate) async fn resolution_requested(&self) {
        self.lost.notified().await;
    }

    /// Returns a watch that fires at each change of any endpoint.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Returns the penalty of an endpoint for failures if it may be called now. Otherwise, when to ask again if it does not
    /// change before.
    pub(crate) fn admits(&self, endpoint: &Endpoint) -> Result<u32, Option<Instant>> {
        let (is_ready, admitted, penalty) = endpoint.admits();
        match admitted {
            _ if !is_ready => Err(None),
            Ok(()) => Ok(penalty),
            // If no other endpoint is left, one that fails is better than none.
            Err(_) if !self.is_any_active() => Ok(penalty),
            Err(until) => Err(until),
        }
    }

    /// Records that a call goes to an endpoint, if it may be called, in one step: one call alone is its probe. Returns the
    /// epoch the call belongs to; otherwise when to ask again.
    pub(crate) fn admit(&self, endpoint: &Endpoint) -> Result<Epoch, Option<Instant>> {
        let admitted = endpoint.admit(false);
        let (epoch, changed) =
            admitted.or_else(|until| if self.is_any_active() { Err(until) } else { endpoint.admit(true) })?;
        self.notify(changed);
        Ok(epoch)
    }

    /// Records that a call succeeded, or failed as it should.
    pub(crate) fn succeeded(&self, endpoint: &Endpoint, epoch: Epoch) {
        self.notify(endpoint.succeeded(epoch));
    }

    /// Records that a call failed by the endpoint's fault.
    pub(crate) fn failed(&self, endpoint: &Endpoint, epoch: Epoch) {
        let changed = {
            // Held until it is ejected, so that two that fail at once are not both the one that may be.
            let endpoints = self.endpoints();
            // Without itself: an endpoint that is being probed counts as ejected, and stays so if the probe fails.
            let out =
                endpoints.values().filter(|other| other.address != endpoint.address && other.is_ejected()).count();
            endpoint.failed(epoch, may_eject(out, endpoints.len(), self.max_ejected))
        };
        self.notify(changed);
    }

    /// Records that a call's deadline passed.
    pub(crate) fn late(&self, endpoint: &Endpoint, epoch: Epoch) {
        self.notify(endpoint.late(epoch));
    }

    /// Records that the caller dropped a call, or that its end shows nothing about the endpoint.
    pub(crate) fn abandoned(&self, endpoint: &Endpoint, epoch: Epoch) {
        self.notify(endpoint.abandoned(epoch));
    }

    /// Returns whether an endpoint is ready and not ejected.
    fn is_any_active(&self) -> bool {
        let is_any_active = || self.endpoints().values().any(|endpoint| endpoint.is_active());
        self.is_any_active.read(self.version(), is_any_active, |is_any_active| *is_any_active)
    }

    /// Returns a number that is another one after each change of an endpoint.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Says that something has changed of which endpoints know nothing.
    pub(crate) fn touch(&self) {
        self.notify(true);
    }

    fn notify(&self, changed: bool) {
        if changed {
            // Those that are notified compare it.
            self.version.fetch_add(1, Ordering::Release);
            self.changed.send_replace(());
        }
    }

    /// Returns why no endpoint can be called, or `None` if one can, or may soon.
    pub(crate) fn unreachable(&self) -> Option<String> {
        let endpoints = self.endpoints();
        if endpoints.is_empty() {
            return self.resolution_error.lock().clone();
        }
        let mut why = None;
        for endpoint in endpoints.values() {
            why = Some(endpoint.unreachable()?);
        }
        why
    }

    /// Completes when an endpoint can be called, or may soon. Cancel safe.
    pub(crate) async fn reachable(&self) {
        let mut changes = self.changes();
        while self.unreachable().is_some() {
            // The sender lives as long as the set.
            let _ = changes.changed().await;
        }
    }

    /// Returns whether the endpoint at this address is ready.
    pub(crate) fn is_ready_at(&self, address: SocketAddr) -> bool {
        self.endpoints().get(&address).is_some_and(|endpoint| endpoint.is_ready())
    }

    /// Returns whether an endpoint is ready.
    pub(crate) fn is_ready(&self) -> bool {
        self.endpoints().values().any(|endpoint| endpoint.is_ready())
    }

    /// Returns how many endpoints there are in each state.
    pub(crate) fn count_by_state(&self) -> [(&'static str, u64); 5] {
        let mut count_by_state = ["ready", "ejected", "connecting", "not_serving", "failed"].map(|state| (state, 0));
        for endpoint in self.endpoints().values() {
            let place = match endpoint.connectivity() {
                ConnectivityState::Ready if endpoint.is_ejected() => 1,
                ConnectivityState::Ready => 0,
                ConnectivityState::Connecting => 2,
                ConnectivityState::NotServing => 3,
                ConnectivityState::TransientFailure(_) => 4,
            };
            count_by_state[place].1 += 1;
        }
        count_by_state
    }

    /// Returns how many connections are open.
    pub(crate) fn connections(&self) -> u64 {
        self.endpoints().values().map(|endpoint| endpoint.pool.len() as u64).sum()
    }

    fn endpoints(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, Arc<Endpoint>>> {
        self.endpoints.lock()
    }
}

#[cfg(test)]
mod tests;
