//! Rejects calls to a backend of which too many in a row have failed.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::future::{Either, Ready, ready};
use parking_lot::Mutex;
use tokio::time::Instant;
use tonic::Status;
use tower::Service;

use crate::{
    call::Call,
    error::{Cause, Failure},
    evidence::Evidence,
    observe::{Observed, observe},
    observer::Observer,
    reply::Reply,
};

/// Opens after so many failed calls in a row; then rejects every call for a while, and lets one probe find out whether
/// the backend is well again.
///
/// Judges whole calls: one that a retry mended is no failure. Clones share the state.
#[derive(Clone, Debug)]
pub(crate) struct Breaker<S> {
    inner: S,
    state: Arc<SharedBreaker>,
}

/// The state that all calls to a backend share.
#[derive(Debug)]
pub(crate) struct SharedBreaker {
    backend: Arc<str>,
    breaker: Mutex<CircuitBreaker>,
}

/// Whether calls are let through: a pure value, to which the time is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct CircuitBreaker {
    /// How many failures in a row open it.
    max_failures: usize,
    /// How long it stays open.
    wait: Duration,
    state: BreakerState,
    epoch: Epoch,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BreakerState {
    /// Calls pass. `failures` of them have failed since the last success.
    Closed { failures: usize },
    /// Calls are rejected until then. `is_reopened` says that a probe has been under way since it opened, and has shown
    /// nothing.
    Open { until: Instant, is_reopened: bool },
    /// One probe is under way; all other calls are rejected.
    HalfOpen,
}

/// Counts how often the breaker opened or began a probe. Results of calls that started in an earlier epoch are ignored:
/// they say nothing about the backend as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Epoch(u32);

/// Tells the breaker how a call ended. Dropped before, the call was given up by its caller.
#[derive(Debug)]
pub(crate) struct BreakerGuard {
    state: Arc<SharedBreaker>,
    epoch: Epoch,
    ended: bool,
}

// === impl Breaker ===

impl<S> Breaker<S> {
    pub(crate) fn new(inner: S, state: Arc<SharedBreaker>) -> Self {
        Self { inner, state }
    }
}

impl<S> Service<Call> for Breaker<S>
where
    S: Service<Call, Response = Reply, Error = Failure>,
{
    type Response = Reply;
    type Error = Failure;
    type Future = Either<Observed<S::Future, BreakerGuard>, Ready<Result<Reply, Failure>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, call: Call) -> Self::Future {
        match self.state.admit() {
            Some(epoch) => {
                let guard = BreakerGuard { state: Arc::clone(&self.state), epoch, ended: false };
                Either::Left(observe(self.inner.call(call), guard))
            }
            None => Either::Right(ready(Err(Failure::new(
                Cause::CircuitOpen,
                Status::unavailable("too many calls in a row have failed"),
            )))),
        }
    }
}

// === impl SharedBreaker ===

impl SharedBreaker {
    /// Creates the closed breaker of this backend: it opens for `wait` after `max_failures` failures in a row.
    pub(crate) fn new(backend: Arc<str>, max_failures: usize, wait: Duration) -> Self {
        Self { backend, breaker: Mutex::new(CircuitBreaker::new(max_failures, wait)) }
    }

    /// Returns the state as the metric has it: 0 closed, 1 half open, 2 open.
    pub(crate) fn as_number(&self) -> u64 {
        match self.breaker.lock().state {
            BreakerState::Closed { .. } => 0,
            BreakerState::HalfOpen => 1,
            BreakerState::Open { .. } => 2,
        }
    }

    fn admit(&self) -> Option<Epoch> {
        let (before, after, admitted) = {
            let mut breaker = self.breaker.lock();
            let before = *breaker;
            let (next, admitted) = before.admit(Instant::now());
            *breaker = next;
            (before.state, next.state, admitted)
        };
        self.log(before, after, None);
        admitted
    }

    /// Changes the state after a call, with the failure that the change is due to, if there is one.
    fn update(&self, failure: Option<&Failure>, change: impl FnOnce(CircuitBreaker) -> CircuitBreaker) {
        let (before, after) = {
            let mut breaker = self.breaker.lock();
            let before = *breaker;
            *breaker = change(before);
            (before.state, breaker.state)
        };
        self.log(before, after, failure);
    }

    /// Logs a change between closed, open and half open: one line each.
    fn log(&self, before: BreakerState, after: BreakerState, failure: Option<&Failure>) {
        let (backend, error) = (&*self.backend, failure.map(tracing::field::display));
        match (before, after) {
            (BreakerState::Closed { .. }, BreakerState::Open { .. }) => {
                tracing::warn!(backend, error, "circuit breaker opened: too many calls in a row have failed");
            }
            // A probe that shows nothing is followed by another at once: callers whose calls end so would fill the log.
            (BreakerState::Open { is_reopened: false, .. }, BreakerState::HalfOpen) => {
                tracing::info!(backend, "circuit breaker is half open: a probe is sent");
            }
            (BreakerState::HalfOpen, BreakerState::Open { is_reopened: false, .. }) => {
                tracing::info!(backend, error, "circuit breaker opened again: its probe failed");
            }
            (BreakerState::HalfOpen, BreakerState::Closed { .. }) => {
                tracing::info!(backend, "circuit breaker closed: its probe succeeded");
            }
            (BreakerState::Closed { .. } | BreakerState::Open { .. } | BreakerState::HalfOpen, _) => {}
        }
    }
}

// === impl CircuitBreaker ===

impl CircuitBreaker {
    fn new(max_failures: usize, wait: Duration) -> Self {
        Self { max_failures, wait, state: BreakerState::Closed { failures: 0 }, epoch: Epoch(0) }
    }

    /// Returns the epoch of a call that may be made now, or `None` if it is rejected, and the state after it.
    fn admit(self, now: Instant) -> (Self, Option<Epoch>) {
        match self.state {
            BreakerState::Closed { .. } => (self, Some(self.epoch)),
            BreakerState::Open { until, .. } if now >= until => {
                let next = self.in_next_epoch(BreakerState::HalfOpen);
                (next, Some(next.epoch))
            }
            BreakerState::Open { .. } | BreakerState::HalfOpen => (self, None),
        }
    }

    /// Returns the state after a success of a call of this epoch.
    #[must_use]
    fn succeeded(self, epoch: Epoch) -> Self {
        if epoch == self.epoch { Self { state: BreakerState::Closed { failures: 0 }, ..self } } else { self }
    }

    /// Returns the state after a failure of a call of this epoch.
    #[must_use]
    fn failed(self, epoch: Epoch, now: Instant) -> Self {
        if epoch != self.epoch {
            return self;
        }
        let open = BreakerState::Open { until: now + self.wait, is_reopened: false };
        match self.state {
            BreakerState::Closed { failures } if failures + 1 < self.max_failures => {
                Self { state: BreakerState::Closed { failures: failures + 1 }, ..self }
            }
            BreakerState::Closed { .. } | BreakerState::HalfOpen => self.in_next_epoch(open),
            BreakerState::Open { .. } => self,
        }
    }

    /// Returns the state after a call of this epoch whose end shows nothing, such as one that its caller gave up: if it was
    /// the probe, the next call is one.
    #[must_use]
    fn abandoned(self, epoch: Epoch, now: Instant) -> Self {
        match self.state {
            BreakerState::HalfOpen if epoch == self.epoch => {
                Self { state: BreakerState::Open { until: now, is_reopened: true }, ..self }
            }
            BreakerState::HalfOpen | BreakerState::Closed { .. } | BreakerState::Open { .. } => self,
        }
    }

    fn in_next_epoch(self, state: BreakerState) -> Self {
        Self { state, epoch: Epoch(self.epoch.0.wrapping_add(1)), ..self }
    }
}

// === impl BreakerGuard ===

impl Observer for BreakerGuard {
    fn ended(&mut self, result: Result<(), &Failure>) {
        self.ended = true;
        let (epoch, failure) = (self.epoch, result.err());
        match failure.map_or(Evidence::Success, Evidence::of) {
            Evidence::Success => self.state.update(None, |breaker| breaker.succeeded(epoch)),
            Evidence::Failure => self.state.update(failure, |breaker| breaker.failed(epoch, Instant::now())),
            Evidence::Inconclusive => self.state.update(None, |breaker| breaker.abandoned(epoch, Instant::now())),
        }
    }
}

impl Drop for BreakerGuard {
    fn drop(&mut self) {
        if !self.ended {
            let epoch = self.epoch;
            self.state.update(None, |breaker| breaker.abandoned(epoch, Instant::now()));
        }
    }
}

#[cfg(test)]
mod tests;
