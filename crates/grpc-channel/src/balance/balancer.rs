//! Spreads calls over the endpoints, and rejects them while none can be reached.

use std::{
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll},
};

use futures::{
    FutureExt as _,
    future::{BoxFuture, OptionFuture},
};
use parking_lot::RwLock;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;
use tower::Service;

use crate::{
    balance::{
        power_of_two::power_of_two,
        replica::{AdmittedCall, Replica},
    },
    call::Call,
    endpoints::{set::EndpointSet, snapshot::Snapshot},
    error::{Cause, Failure},
    reply::Reply,
};

/// Sends each call to the better of two replicas at random: one that the call has not been sent to yet, if there is one.
///
/// Calls wait while no replica may be called but one may be soon. They are rejected when every endpoint has just been found
/// to be out of reach.
///
/// Our own, because tower's chooses before it has the call, cannot keep a hedge off the replica that is late, and needs a
/// task and a queue in front of it.
#[derive(Clone, Debug)]
pub(crate) struct Balancer(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    replicas: Arc<Replicas>,
    set: Arc<EndpointSet>,
    /// Ends with the last clone of the balancer.
    _resolver: AbortOnDropHandle<()>,
}

/// The replicas that calls are spread over.
#[derive(Debug)]
pub(crate) struct Replicas {
    all: RwLock<Vec<Arc<Replica>>>,
    set: Arc<EndpointSet>,
    /// Those that are ready, ejected ones included: a call looks at no other, however many there are.
    ready: Snapshot<Arc<[Arc<Replica>]>>,
}

// === impl Balancer ===

impl Balancer {
    /// Spreads calls over these replicas of the endpoints in `set`, which `resolver` keeps up to date.
    pub(crate) fn new(
        replicas: Arc<Replicas>,
        set: Arc<EndpointSet>,
        resolver: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        let resolver = AbortOnDropHandle::new(tokio::spawn(resolver));
        Self(Arc::new(Shared { replicas, set, _resolver: resolver }))
    }
}

impl Service<Call> for Balancer {
    type Response = Reply;
    type Error = Failure;
    type Future = BoxFuture<'static, Result<Reply, Failure>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        match self.0.replicas.choose(&call) {
            Ok(admitted) => admitted.send(call).boxed(),
            Err(_) => Arc::clone(&self.0).wait(call).boxed(),
        }
    }
}

// === impl Shared ===

impl Shared {
    /// Sends the call as soon as a replica may be called.
    async fn wait(self: Arc<Self>, call: Call) -> Result<Reply, Failure> {
        let mut changes = self.set.changes();
        let sent = loop {
            changes.mark_unchanged();
            let retry_at = match self.replicas.choose(&call) {
                Ok(admitted) => break admitted.send(call),
                Err(retry_at) => retry_at,
            };
            if let Some(why) = self.set.unreachable()
                && !self.set.reconnect()
            {
                return Err(Failure::new(Cause::Unreachable, Status::unavailable(why)));
            }
            self.set.end_rest();
            tokio::select! {
                // The sender lives as long as the set.
                _ = changes.changed() => {}
                Some(()) = OptionFuture::from(retry_at.map(sleep_until)) => {}
            }
        };
        // The call keeps nothing but the replica it goes to.
        drop(self);
        sent.await
    }
}

// === impl Replicas ===

impl Replicas {
    pub(crate) fn new(set: Arc<EndpointSet>) -> Self {
        Self { all: RwLock::default(), set, ready: Snapshot::default() }
    }

    pub(crate) fn insert(&self, replica: Replica) {
        self.all.write().push(Arc::new(replica));
        // Its endpoint may have become ready before it was here.
        self.set.touch();
    }

    pub(crate) fn remove(&self, address: SocketAddr) {
        self.all.write().retain(|replica| replica.address() != address);
        self.set.touch();
        // Lets go of it now, which ends its connect loop, and not with the next call.
        drop(self.ready());
    }

    /// Returns the replicas that are ready.
    fn ready(&self) -> Arc<[Arc<Replica>]> {
        let ready = || self.all.read().iter().filter(|replica| replica.is_ready()).cloned().collect();
        self.ready.read(self.set.version(), ready, Arc::clone)
    }

    /// Returns the replica for this call, which counts as called from now on. Without one, returns when to ask again if
    /// nothing changes before.
    fn choose(&self, call: &Call) -> Result<AdmittedCall, Option<Instant>> {
        self.choose_at_random(call, |below| rand::random_range(0..below))
    }

    /// [`choose`](Self::choose), where `random(n)` is any number below `n`.
    fn choose_at_random(
        &self,
        call: &Call,
        mut random: impl FnMut(usize) -> usize,
    ) -> Result<AdmittedCall, Option<Instant>> {
        let replicas = self.ready();
        let tried = &call.inner.tried;
        let mut best = |is_wanted: &dyn Fn(&Replica) -> bool| {
            let load = |position: usize| {
                let replica: &Replica = &replicas[position];
                if is_wanted(replica) { replica.load().ok() } else { None }
            };
            power_of_two(replicas.len(), load, &mut random)
        };
        loop {
            let untried = if tried.is_empty() { None } else { best(&|replica| !tried.contains(replica.mark())) };
            let Some(position) = untried.or_else(|| best(&|_| true)) else {
                return Err(replicas.iter().filter_map(|replica| replica.load().err().flatten()).min());
            };
            // Another call may have become its probe since.
            if let Ok(admitted) = replicas[position].admit() {
                tried.add(replicas[position].mark());
                return Ok(admitted);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, future::pending};

    use http::Uri;
    use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

    use super::*;
    use crate::{
        balance::attempt::Attempt,
        endpoints::endpoint::{ConnectivityState, Endpoint},
    };

    /// Returns replicas that are not connected, and their endpoints.
    fn replicas(count: u16) -> (Replicas, Vec<Arc<Endpoint>>) {
        let set = Arc::new(EndpointSet::new(0.5));
        let replicas = Replicas::new(Arc::clone(&set));
        let insert = |port| {
            let endpoint = set.add(([127, 0, 0, 1], port).into(), 1);
            let attempt = Attempt::new(Arc::clone(&endpoint), Uri::from_static("http://localhost"), |_| Ok(()), None);
            replicas.insert(Replica::new(Arc::clone(&set), Arc::clone(&endpoint), attempt, pending()));
            endpoint
        };
        let endpoints = (1..=count).map(insert).collect();
        (replicas, endpoints)
    }

    /// Returns how many of so many calls, which go on, each endpoint gets: the same ones in each run of the tests.
    fn spread(replicas: &Replicas, calls: usize) -> HashMap<SocketAddr, usize> {
        let mut rng = StdRng::seed_from_u64(7);
        let mut spread = HashMap::new();
        for _ in 0..calls {
            let admitted = replicas.choose_at_random(&Call::example(), |below| rng.random_range(0..below));
            let admitted = admitted.expect("one is ready");
            *spread.entry(admitted.address()).or_default() += 1;
            // It stays pending.
            std::mem::forget(admitted);
        }
        spread
    }

    #[tokio::test]
    async fn calls_look_at_those_that_are_ready_however_many_there_are() {
        let (replicas, endpoints) = replicas(1_000);
        assert!(replicas.choose(&Call::example()).is_err(), "none is ready");
        for endpoint in &endpoints[500..503] {
            replicas.set.set_connectivity(endpoint, ConnectivityState::Ready);
        }
        assert_eq!(replicas.ready().len(), 3);
        let spread_over = spread(&replicas, 300);
        assert!(endpoints[500..503].iter().all(|endpoint| (90..=110).contains(&spread_over[&endpoint.address])));
        replicas.set.set_connectivity(&endpoints[500], ConnectivityState::NotServing);
        assert!(!spread(&replicas, 100).contains_key(&endpoints[500].address));
        replicas.set.set_connectivity(&endpoints[0], ConnectivityState::Ready);
        assert!(spread(&replicas, 100)[&endpoints[0].address] > 50, "it has fewer calls than the others");
    }

    #[tokio::test]
    async fn a_thousand_that_are_ready_share_the_calls_evenly() {
        let (replicas, endpoints) = replicas(1_000);
        for endpoint in &endpoints {
            replicas.set.set_connectivity(endpoint, ConnectivityState::Ready);
        }
        let spread = spread(&replicas, 20_000);
        let (least, most) = (spread.values().min().unwrap(), spread.values().max().unwrap());
        assert!(spread.len() == 1_000 && *least >= 10 && *most <= 25, "{least} to {most} calls, 20 on average");
    }

    #[tokio::test]
    async fn a_change_is_looked_at_once_and_not_for_each_call() {
        let (replicas, endpoints) = replicas(1_000);
        replicas.set.set_connectivity(&endpoints[7], ConnectivityState::Ready);
        let first = replicas.ready();
        spread(&replicas, 100);
        assert!(Arc::ptr_eq(&first, &replicas.ready()));
        replicas.set.set_connectivity(&endpoints[8], ConnectivityState::Ready);
        assert_eq!(replicas.ready().len(), 2);
    }

    #[tokio::test]
    async fn one_that_was_ready_before_it_was_here_gets_calls() {
        let set = Arc::new(EndpointSet::new(0.5));
        let replicas = Replicas::new(Arc::clone(&set));
        let endpoint = set.add(([127, 0, 0, 1], 1).into(), 1);
        set.set_connectivity(&endpoint, ConnectivityState::Ready);
        assert!(replicas.choose(&Call::example()).is_err());
        let attempt = Attempt::new(Arc::clone(&endpoint), Uri::from_static("http://localhost"), |_| Ok(()), None);
        replicas.insert(Replica::new(set, endpoint, attempt, pending()));
        assert!(replicas.choose(&Call::example()).is_ok());
    }

    #[tokio::test]
    async fn one_that_is_removed_is_gone_before_the_next_call() {
        let (replicas, endpoints) = replicas(2);
        for endpoint in &endpoints {
            replicas.set.set_connectivity(endpoint, ConnectivityState::Ready);
        }
        let removed = Arc::downgrade(&replicas.ready()[0]);
        replicas.remove(endpoints[0].address);
        assert!(removed.upgrade().is_none());
        assert_eq!(replicas.ready()[0].address(), endpoints[1].address);
    }
}
