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
    endpoints::set::EndpointSet,
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
#[derive(Debug, Default)]
pub(crate) struct Replicas(RwLock<Vec<Arc<Replica>>>);

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
    pub(crate) fn insert(&self, replica: Replica) {
        self.0.write().push(Arc::new(replica));
    }

    pub(crate) fn remove(&self, address: SocketAddr) {
        self.0.write().retain(|replica| replica.address() != address);
    }

    /// Returns the replica for this call, which counts as called from now on. Without one, returns when to ask again if
    /// nothing changes before.
    fn choose(&self, call: &Call) -> Result<AdmittedCall, Option<Instant>> {
        let replicas = self.0.read();
        let tried = &call.inner.tried;
        let best = |is_wanted: &dyn Fn(&Replica) -> bool| {
            let load = |position: usize| {
                let replica: &Replica = &replicas[position];
                if is_wanted(replica) { replica.load().ok() } else { None }
            };
            power_of_two(replicas.len(), load, |below| rand::random_range(0..below))
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
