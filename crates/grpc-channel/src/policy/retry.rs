//! Which failed calls are sent again, and when.

use std::{
    future::{Ready, ready},
    sync::Arc,
    time::Duration,
};

use futures::future::Either;
use tokio::time::Sleep;
use tonic::Code;
use tower::retry::{
    Policy,
    budget::{Budget as _, TpsBudget},
};

use crate::{
    backoff::full_jitter,
    call::{AnyReply, UnaryCall},
    error::{Cause, Failure, Pushback},
    metrics::Metrics,
    policy::budget::budget,
};

/// The longest wait before the first retry; it doubles with each.
const BASE: Duration = Duration::from_millis(25);

/// The longest wait before any retry.
const CAP: Duration = Duration::from_secs(1);

/// How often a call that did not leave is handed to another replica at once.
const MAX_TRANSPARENT_RETRIES: u32 = 5;

/// tower's retry policy for a backend: made for each call by cloning.
#[derive(Clone, Debug)]
pub(crate) struct RetryPolicy {
    shared: Arc<Shared>,
    done: RetryCount,
}

#[derive(Debug)]
struct Shared {
    retries: u32,
    budget: TpsBudget,
    metrics: Metrics,
}

/// How often one call was sent again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct RetryCount {
    retries: u32,
    transparent: u32,
}

/// Whether to send a call again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RetryDecision {
    /// It stays failed.
    No,
    /// At once and free of charge: nothing reached the backend.
    Transparent,
    /// After a back-off.
    BackOff,
    /// When the backend asks for it.
    After(Duration),
}

// === impl RetryPolicy ===

impl RetryPolicy {
    /// Sends a call again up to `retries` times, if the budget pays for it: `share` of the calls that went well in the
    /// last ten seconds, and `floor` a second.
    ///
    /// Failed calls pay nothing in, so that an outage has the floor alone to retry with.
    pub(crate) fn new(retries: u32, share: f32, floor: u32, metrics: Metrics) -> Self {
        let budget = budget(share, floor);
        Self { shared: Arc::new(Shared { retries, budget, metrics }), done: RetryCount::default() }
    }
}

impl Policy<UnaryCall, AnyReply, Failure> for RetryPolicy {
    type Future = Either<Ready<()>, Sleep>;

    fn retry(&mut self, call: &mut UnaryCall, result: &mut Result<AnyReply, Failure>) -> Option<Self::Future> {
        let Err(failure) = result else {
            self.shared.budget.deposit();
            return None;
        };
        let wait = match decide(call.inner.method.is_idempotent(), failure, self.done, self.shared.retries) {
            RetryDecision::No => return None,
            RetryDecision::Transparent => {
                self.done.transparent += 1;
                return Some(Either::Left(ready(())));
            }
            RetryDecision::BackOff => full_jitter(BASE, CAP, self.done.retries + 1),
            RetryDecision::After(wait) => wait,
        };
        // A wait beyond the deadline would only turn a clear failure into a late one.
        let left = call.inner.ctx.deadline.map(rpc_layers::deadline::Deadline::remaining);
        if left.is_some_and(|left| wait >= left) {
            return None;
        }
        if !self.shared.budget.withdraw() {
            self.shared.metrics.retry_refused();
            return None;
        }
        self.done.retries += 1;
        self.shared.metrics.retried();
        Some(Either::Right(tokio::time::sleep(wait)))
    }

    fn clone_request(&mut self, call: &UnaryCall) -> Option<UnaryCall> {
        Some(call.clone())
    }
}

/// Decides by what is known: whether the call may have had an effect, and whether another try can help.
fn decide(idempotent: bool, failure: &Failure, done: RetryCount, retries: u32) -> RetryDecision {
    let spent = done.retries >= retries;
    match failure.cause {
        Cause::Unsent if retries > 0 && done.transparent < MAX_TRANSPARENT_RETRIES => RetryDecision::Transparent,
        Cause::Unsent | Cause::Unreachable if !spent => RetryDecision::BackOff,
        Cause::Lost if idempotent && !spent => RetryDecision::BackOff,
        Cause::Answered(pushback) if idempotent && !spent && failure.status.code() == Code::Unavailable => {
            match pushback {
                Pushback::Unsaid => RetryDecision::BackOff,
                Pushback::After(wait) => RetryDecision::After(wait),
                Pushback::Never => RetryDecision::No,
            }
        }
        Cause::Unsent
        | Cause::Unreachable
        | Cause::Lost
        | Cause::Answered(_)
        | Cause::Malformed
        | Cause::Late
        | Cause::Shed
        | Cause::CircuitOpen
        | Cause::Internal => RetryDecision::No,
    }
}

#[cfg(test)]
mod tests;
