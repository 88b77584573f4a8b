//! One endpoint as a service: ready while it may be called, and judged by how its calls end.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture};
use tokio::time::Sleep;
use tokio_stream::wrappers::WatchStream;
use tokio_util::task::AbortOnDropHandle;
use tower::{Service, load::Load};

use crate::{
    balance::attempt::Attempt,
    call::Call,
    endpoints::{endpoint::Endpoint, outlier_detection::Epoch, set::EndpointSet},
    error::{Cause, Failure},
    evidence::Evidence,
    observe::observe,
    observer::Observer,
    reply::Reply,
};

/// An endpoint that the balancer chooses only while it is connected, serving and not ejected.
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

/// Tells outlier detection how a call ended, and counts the call as pending until it has.
#[derive(Debug)]
struct OutcomeGuard {
    set: Arc<EndpointSet>,
    endpoint: Arc<Endpoint>,
    epoch: Epoch,
    ended: bool,
}

// === impl Replica ===

impl Replica {
    /// Creates the replica of an endpoint that `connect_loop` keeps connected.
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

impl Load for Replica {
    /// The penalty for failures first, then the calls that are pending.
    type Metric = (u32, usize);

    fn load(&self) -> Self::Metric {
        (self.endpoint.penalty(), self.endpoint.pending())
    }
}

impl Service<Call> for Replica {
    type Response = Reply;
    type Error = Failure;
    type Future = BoxFuture<'static, Result<Reply, Failure>>;

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

    fn call(&mut self, call: Call) -> Self::Future {
        let guard = OutcomeGuard::new(&self.set, &self.endpoint);
        observe(self.attempt.send(call), guard).boxed()
    }
}

// === impl OutcomeGuard ===

impl OutcomeGuard {
    fn new(set: &Arc<EndpointSet>, endpoint: &Arc<Endpoint>) -> Self {
        let epoch = set.called(endpoint);
        Self { set: Arc::clone(set), endpoint: Arc::clone(endpoint), epoch, ended: false }
    }
}

impl Observer for OutcomeGuard {
    fn ended(&mut self, result: Result<(), &Failure>) {
        self.ended = true;
        let Err(failure) = result else { return self.set.succeeded(&self.endpoint, self.epoch) };
        match Evidence::of(failure) {
            Evidence::Success => self.set.succeeded(&self.endpoint, self.epoch),
            Evidence::Failure => self.set.failed(&self.endpoint, self.epoch),
            Evidence::Inconclusive if failure.cause == Cause::Late => self.set.late(&self.endpoint, self.epoch),
            Evidence::Inconclusive => self.set.abandoned(&self.endpoint, self.epoch),
        }
    }
}

impl Drop for OutcomeGuard {
    fn drop(&mut self) {
        if !self.ended {
            self.set.abandoned(&self.endpoint, self.epoch);
        }
        self.endpoint.call_ended();
    }
}
