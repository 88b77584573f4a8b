//! One endpoint as the balancer sees it: what it carries, whether it may be called, and how its calls end.

use std::{net::SocketAddr, sync::Arc};

use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    balance::attempt::Attempt,
    call::Call,
    endpoints::{
        endpoint::{Endpoint, Mark},
        outlier_detection::Epoch,
        set::EndpointSet,
    },
    error::{Cause, Failure},
    evidence::Evidence,
    observe::observe,
    observer::Observer,
    reply::Reply,
};

/// An endpoint that is called only while it is connected, serving and not ejected.
#[derive(Debug)]
pub(crate) struct Replica {
    set: Arc<EndpointSet>,
    endpoint: Arc<Endpoint>,
    attempt: Attempt,
    /// Ends with the replica; calls in flight do not.
    _connect_loop: AbortOnDropHandle<()>,
}

/// A call that an endpoint has been chosen for, and that counts as pending there until it has ended.
#[derive(Debug)]
pub(crate) struct AdmittedCall {
    attempt: Attempt,
    outcome: OutcomeGuard,
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
        let connect_loop = AbortOnDropHandle::new(tokio::spawn(connect_loop));
        Self { set, endpoint, attempt, _connect_loop: connect_loop }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.endpoint.address
    }

    pub(crate) fn mark(&self) -> Mark {
        self.endpoint.mark
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.endpoint.is_ready()
    }

    /// Returns the penalty for failures, and the calls that are pending: the former counts first. If the replica may not be
    /// called, returns when to ask again if it does not change before.
    pub(crate) fn load(&self) -> Result<(u32, usize), Option<Instant>> {
        Ok((self.set.admits(&self.endpoint)?, self.endpoint.pending()))
    }

    /// Begins a call, if the replica may be called.
    pub(crate) fn admit(&self) -> Result<AdmittedCall, Option<Instant>> {
        let epoch = self.set.admit(&self.endpoint)?;
        let (set, endpoint) = (Arc::clone(&self.set), Arc::clone(&self.endpoint));
        Ok(AdmittedCall { attempt: self.attempt.clone(), outcome: OutcomeGuard { set, endpoint, epoch, ended: false } })
    }
}

// === impl AdmittedCall ===

impl AdmittedCall {
    #[cfg(test)]
    pub(crate) fn address(&self) -> SocketAddr {
        self.outcome.endpoint.address
    }

    /// Sends the call.
    pub(crate) fn send(self, call: Call) -> impl Future<Output = Result<Reply, Failure>> + Send + use<> {
        observe(self.attempt.send(call), self.outcome)
    }
}

// === impl OutcomeGuard ===

impl Observer for OutcomeGuard {
    fn ended(&mut self, result: Result<(), &Failure>) {
        self.ended = true;
        let Err(failure) = result else { return self.set.succeeded(&self.endpoint, self.epoch) };
        if failure.cause == Cause::Unsent {
            self.set.notice_loss(&self.endpoint);
        }
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
