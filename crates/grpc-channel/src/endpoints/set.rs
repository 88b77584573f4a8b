//! Which replicas of a backend there are, and who is to know when one changes.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use parking_lot::{Mutex, MutexGuard};
use tokio::{
    sync::{Notify, futures::Notified, watch},
    time::Instant,
};

use crate::{
    endpoints::endpoint::{ConnectivityState, Endpoint},
    endpoints::outlier_detection::{Epoch, may_eject},
};

/// How long calls are refused because the last attempt to connect failed. One that comes later has it tried again.
const FRESH: Duration = Duration::from_millis(100);

/// The replicas that discovery knows, and why a name has none.
#[derive(Debug)]
pub(crate) struct EndpointSet {
    endpoints: Mutex<BTreeMap<SocketAddr, Arc<Endpoint>>>,
    /// Why the last attempt to resolve a name failed. `None` before the first ended, too.
    resolution_error: Mutex<Option<String>>,
    max_ejected: f64,
    changed: watch::Sender<()>,
    lost: Notify,
    reconnect: Notify,
}

// === impl EndpointSet ===

impl EndpointSet {
    /// A set without endpoints, of which at most this share may be ejected.
    pub(crate) fn new(max_ejected: f64) -> Self {
        Self {
            endpoints: Mutex::default(),
            resolution_error: Mutex::default(),
            max_ejected,
            changed: watch::Sender::new(()),
            lost: Notify::new(),
            reconnect: Notify::new(),
        }
    }

    pub(crate) fn add(&self, endpoint: Arc<Endpoint>) {
        self.endpoints().insert(endpoint.address, endpoint);
        self.changed.send_replace(());
    }

    pub(crate) fn remove(&self, address: SocketAddr) {
        self.endpoints().remove(&address);
        self.changed.send_replace(());
    }

    /// Notes why a name has no address, or that all have.
    pub(crate) fn set_resolution_error(&self, why: Option<String>) {
        *self.resolution_error.lock() = why;
        self.changed.send_replace(());
    }

    pub(crate) fn set_connectivity(&self, endpoint: &Endpoint, connectivity: ConnectivityState) {
        if endpoint.set_connectivity(connectivity) == ConnectivityState::Ready && !self.is_ready() {
            // The last one is lost. Those that failed may have come back since.
            self.reconnect_after(Duration::ZERO);
        }
        self.changed.send_replace(());
    }

    /// A call finds nobody to go to. All that failed are tried again at once, unless that was just done. Returns whether
    /// it is worth waiting for.
    pub(crate) fn reconnect(&self) -> bool {
        // A name without an address may have one now.
        self.request_resolution();
        self.reconnect_after(FRESH)
    }

    fn reconnect_after(&self, age: Duration) -> bool {
        let mut any = false;
        for endpoint in self.endpoints().values() {
            any |= endpoint.retry_if_failed_for(age);
        }
        if any {
            self.reconnect.notify_waiters();
        }
        any
    }

    /// Until those that cannot be reached are to be tried again, before their time.
    pub(crate) fn reconnect_wanted(&self) -> Notified<'_> {
        self.reconnect.notified()
    }

    /// Tells discovery that a replica was lost: its address may be gone.
    pub(crate) fn request_resolution(&self) {
        self.lost.notify_one();
    }

    /// Until a replica is lost.
    pub(crate) async fn resolution_requested(&self) {
        self.lost.notified().await;
    }

    /// Wakes at each change of any endpoint.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Whether a endpoint may be called now: if not, when to ask again, unless it changes before.
    pub(crate) fn admits(&self, endpoint: &Endpoint) -> Result<(), Option<Instant>> {
        let (is_ready, admitted) = endpoint.admits();
        match admitted {
            _ if !is_ready => Err(None),
            Ok(()) => Ok(()),
            // Where nobody else is left, one that fails is better than none.
            Err(_) if !self.endpoints().values().any(|endpoint| endpoint.is_active()) => Ok(()),
            Err(until) => Err(until),
        }
    }

    /// A call goes to a endpoint, and belongs to this epoch of it.
    pub(crate) fn called(&self, endpoint: &Endpoint) -> Epoch {
        let (epoch, changed) = endpoint.called();
        self.tell(changed);
        epoch
    }

    /// A call to a endpoint went well, or its failure was not the endpoint's fault.
    pub(crate) fn succeeded(&self, endpoint: &Endpoint, epoch: Epoch) {
        self.tell(endpoint.succeeded(epoch));
    }

    /// A call to a endpoint failed by the endpoint's fault.
    pub(crate) fn failed(&self, endpoint: &Endpoint, epoch: Epoch) {
        let changed = {
            // Held until it is out, so that two that fail at once are not both the one that may be left out.
            let endpoints = self.endpoints();
            // Without itself: one that is probed is out, and stays out if the probe fails.
            let out =
                endpoints.values().filter(|other| other.address != endpoint.address && other.is_ejected()).count();
            endpoint.failed(epoch, may_eject(out, endpoints.len(), self.max_ejected))
        };
        self.tell(changed);
    }

    /// A call to a endpoint was given up.
    pub(crate) fn abandoned(&self, endpoint: &Endpoint, epoch: Epoch) {
        self.tell(endpoint.abandoned(epoch));
    }

    fn tell(&self, changed: bool) {
        if changed {
            self.changed.send_replace(());
        }
    }

    /// Why no replica can be called, or `None` where one can, or may soon.
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

    /// Whether a replica is ready.
    pub(crate) fn is_ready(&self) -> bool {
        self.endpoints().values().any(|endpoint| endpoint.is_ready())
    }

    /// How many endpoints there are in each state.
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

    /// How many connections are open.
    pub(crate) fn connections(&self) -> u64 {
        self.endpoints().values().map(|endpoint| endpoint.pool.len() as u64).sum()
    }

    fn endpoints(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, Arc<Endpoint>>> {
        self.endpoints.lock()
    }
}

#[cfg(test)]
mod tests;
