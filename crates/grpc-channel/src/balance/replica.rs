//! One replica as a service: ready while it may be called, and judged by how its calls end.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture};
use tokio::time::Sleep;
use tokio_stream::wrappers::WatchStream;
use tokio_util::task::AbortOnDropHandle;
use tower::Service;

use crate::{
    balance::attempt::Attempt,
    call::{AnyReply, UnaryCall},
    endpoints::endpoint::Endpoint,
    endpoints::outlier_detection::Epoch,
    endpoints::set::EndpointSet,
    error::{Cause, Failure},
};

/// A replica that the balancer chooses only while it is connected, serving and not left out for its failures.
#[derive(Debug)]
pub(crate) struct Replica {
    set: Arc<EndpointSet>,
    endpoint: Arc<Endpoint>,
    attempt: Attempt,
    changes: WatchStream<()>,
    retry_at: Option<Pin<Box<Sleep>>>,
    /// Ends with the replica; calls in flight do not.
    _connect_loop: AbortOnDropHandle<()>,
}

/// A call that a replica is judged by.
struct OutcomeGuard {
    set: Arc<EndpointSet>,
    endpoint: Arc<Endpoint>,
    epoch: Epoch,
    ended: bool,
}

// === impl Replica ===

impl Replica {
    /// A replica that `connect_loop` keeps connected.
    pub(crate) fn new(
        set: Arc<EndpointSet>,
        endpoint: Arc<Endpoint>,
        attempt: Attempt,
        connect_loop: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        let changes = WatchStream::new(set.changes());
        let connect_loop = AbortOnDropHandle::new(tokio::spawn(connect_loop));
        Self { set, endpoint, attempt, changes, retry_at: None, _connect_loop: connect_loop }
    }
}

impl Service<UnaryCall> for Replica {
    type Response = AnyReply;
    type Error = Failure;
    type Future = BoxFuture<'static, Result<AnyReply, Failure>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        loop {
            let Err(until) = self.set.admits(&self.endpoint) else { return Poll::Ready(Ok(())) };
            self.retry_at = until.map(|until| Box::pin(tokio::time::sleep_until(until)));
            let is_due = self.retry_at.as_mut().is_some_and(|timer| timer.as_mut().poll(cx).is_ready());
            if !is_due && self.changes.poll_next_unpin(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn call(&mut self, call: UnaryCall) -> Self::Future {
        let epoch = self.set.called(&self.endpoint);
        let mut guard =
            OutcomeGuard { set: Arc::clone(&self.set), endpoint: Arc::clone(&self.endpoint), epoch, ended: false };
        self.attempt.send(call).inspect(move |result| guard.end(result)).boxed()
    }
}

// === impl OutcomeGuard ===

impl OutcomeGuard {
    fn end(&mut self, result: &Result<AnyReply, Failure>) {
        self.ended = true;
        match result {
            // A replica that lets deadlines pass may be stuck: others are inner before it, for no longer than a while.
            Err(failure) if failure.is_backends_fault() || failure.cause == Cause::Late => {
                self.set.failed(&self.endpoint, self.epoch);
            }
            Ok(_) | Err(_) => self.set.succeeded(&self.endpoint, self.epoch),
        }
    }
}

impl Drop for OutcomeGuard {
    fn drop(&mut self) {
        if !self.ended {
            self.set.abandoned(&self.endpoint, self.epoch);
        }
    }
}
