//! Spreads calls over the replicas, and refuses them while there is none.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use futures::{
    StreamExt as _,
    future::{BoxFuture, ready},
};
use tokio_stream::wrappers::WatchStream;
use tonic::Status;
use tower::{
    BoxError, Service,
    balance::p2c::Balance,
    load::{CompleteOnResponse, Load, PendingRequests, pending_requests::Count},
};

use crate::{
    balance::replica::Replica,
    call::{AnyReply, UnaryCall},
    endpoints::endpoint::Endpoint,
    endpoints::resolver::Changes,
    endpoints::set::EndpointSet,
    error::{Cause, Failure},
};

/// A replica with its load: first what is against it, then how many calls it has.
#[derive(Debug)]
pub(crate) struct Loaded {
    inner: PendingRequests<Replica>,
    endpoint: Arc<Endpoint>,
}

/// tower's balancer, which waits for a replica however long that takes, made to fail fast: where every replica has just
/// been found to be out of reach, calls are refused at once. While one of them is being connected to, they wait.
pub(crate) struct Balancer {
    inner: Balance<Changes<Loaded>, UnaryCall>,
    set: Arc<EndpointSet>,
    changes: WatchStream<()>,
    /// Why the next call is refused.
    refusal: Option<Failure>,
}

// === impl Loaded ===

impl Loaded {
    pub(crate) fn new(replica: Replica, endpoint: Arc<Endpoint>) -> Self {
        Self { inner: PendingRequests::new(replica, CompleteOnResponse::default()), endpoint }
    }
}

impl Load for Loaded {
    type Metric = (u32, Count);

    fn load(&self) -> Self::Metric {
        (self.endpoint.penalty(), self.inner.load())
    }
}

impl Service<UnaryCall> for Loaded {
    type Response = AnyReply;
    type Error = Failure;
    type Future = <PendingRequests<Replica> as Service<UnaryCall>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, call: UnaryCall) -> Self::Future {
        self.inner.call(call)
    }
}

// === impl Balancer ===

impl Balancer {
    /// Spreads calls over these replicas, which the set knows too.
    pub(crate) fn new(replicas: Changes<Loaded>, set: Arc<EndpointSet>) -> Self {
        let changes = WatchStream::new(set.changes());
        Self { inner: Balance::new(replicas), set, changes, refusal: None }
    }
}

impl Service<UnaryCall> for Balancer {
    type Response = AnyReply;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<AnyReply, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        loop {
            self.refusal = None;
            if let Poll::Ready(readiness) = self.inner.poll_ready(cx) {
                return Poll::Ready(readiness);
            }
            if let Some(why) = self.set.unreachable()
                && !self.set.reconnect()
            {
                self.refusal = Some(Failure::new(Cause::Unreachable, Status::unavailable(why)));
                return Poll::Ready(Ok(()));
            }
            if self.changes.poll_next_unpin(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn call(&mut self, call: UnaryCall) -> Self::Future {
        match self.refusal.take() {
            Some(failure) => Box::pin(ready(Err(failure.into()))),
            None => Box::pin(self.inner.call(call)),
        }
    }
}
