//! Spreads calls over the endpoints, and rejects them while none can be reached.

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
use tower::{BoxError, Service, balance::p2c::Balance};

use crate::{
    balance::replica::Replica,
    call::Call,
    endpoints::{resolver::Changes, set::EndpointSet},
    error::{Cause, Failure},
    reply::Reply,
};

/// tower's balancer, made to fail fast: it waits for an endpoint without limit, while this one rejects calls when every
/// endpoint has just been found to be out of reach. While one of them is being connected to, calls wait.
pub(crate) struct Balancer {
    inner: Balance<Changes<Replica>, Call>,
    set: Arc<EndpointSet>,
    changes: WatchStream<()>,
    /// Why the next call is rejected.
    rejection: Option<Failure>,
}

// === impl Balancer ===

impl Balancer {
    /// Spreads calls over these replicas of the endpoints in `set`.
    pub(crate) fn new(replicas: Changes<Replica>, set: Arc<EndpointSet>) -> Self {
        let changes = WatchStream::new(set.changes());
        Self { inner: Balance::new(replicas), set, changes, rejection: None }
    }
}

impl Service<Call> for Balancer {
    type Response = Reply;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Reply, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        loop {
            self.rejection = None;
            if let Poll::Ready(readiness) = self.inner.poll_ready(cx) {
                return Poll::Ready(readiness);
            }
            if let Some(why) = self.set.unreachable()
                && !self.set.reconnect()
            {
                self.rejection = Some(Failure::new(Cause::Unreachable, Status::unavailable(why)));
                return Poll::Ready(Ok(()));
            }
            if self.changes.poll_next_unpin(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn call(&mut self, call: Call) -> Self::Future {
        match self.rejection.take() {
            Some(failure) => Box::pin(ready(Err(failure.into()))),
            None => Box::pin(self.inner.call(call)),
        }
    }
}
