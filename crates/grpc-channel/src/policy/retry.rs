//! Which failed calls are sent again, and when.

use std::{
    future::{Ready, ready},
    sync::Arc,
    time::Duration,
};

use futures::{
    FutureExt as _,
    future::{BoxFuture, Either},
};
use rpc_layers::deadline::Deadline;
use tower::retry::Policy;

use crate::{
    call::Call,
    descriptors::MethodKind,
    endpoints::set::EndpointSet,
    error::{Cause, Failure, Pushback},
    method_policy::RetryPolicy,
    metrics::Metrics,
    policy::budget::Budget,
    reply::Reply,
};

/// How often a call that was not sent is sent to another endpoint at once.
const MAX_TRANSPARENT_RETRIES: u32 = 5;

/// Retries one call: tower's retry policy, made for each call by cloning.
#[derive(Clone, Debug)]
pub(crate) struct Retrier {
    shared: Arc<Shared>,
    count: RetryCount,
}

#[derive(Debug)]
struct Shared {
    budget: Arc<Budget>,
    endpoints: Arc<EndpointSet>,
    metrics: Metrics,
}

/// How often one call was sent again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct RetryCount {
    retries: u32,
    transparent: u32,
}

/// What decides about a retry, besides the failure.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, Copy, Debug)]
struct Facts {
    policy: RetryPolicy,
    is_idempotent: bool,
    /// The reply is one message that ends the call, so nobody has seen any of it when it fails.
    is_unary: bool,
    /// The messages of the request are still there.
    can_be_sent: bool,
    wait_for_ready: bool,
}

/// Whether to send a call again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RetryDecision {
    /// It stays failed.
    No,
    /// At once and without paying: nothing reached the backend.
    Transparent,
    /// After a back-off.
    BackOff,
    /// When the backend asks for it.
    After(Duration),
    /// When an endpoint can be reached.
    WhenReachable,
}

// === impl Retrier ===

impl Retrier {
    /// Retries calls as their method's policy says, for as long as the budget allows it.
    ///
    /// Failed calls pay nothing into the budget, so that an outage is retried from the floor alone.
    pub(crate) fn new(budget: Arc<Budget>, endpoints: Arc<EndpointSet>, metrics: Metrics) -> Self {
        Self { shared: Arc::new(Shared { budget, endpoints, metrics }), count: RetryCount::default() }
    }
}

impl Policy<Call, Reply, Failure> for Retrier {
    // In a box what hardly any call waits for, but all would have room for.
    type Future = Either<Ready<()>, BoxFuture<'static, ()>>;

    fn retry(&mut self, call: &mut Call, result: &mut Result<Reply, Failure>) -> Option<Self::Future> {
        let Err(failure) = result else {
            self.shared.budget.deposit();
            return None;
        };
        let policy = call.inner.method.policy().retry;
        let decision = decide(Facts::of(call), failure, self.count);
        let wait = match decision {
            RetryDecision::No => {
                if costs_a_token(call, failure) {
                    self.shared.budget.failed();
                }
                return None;
            }
            RetryDecision::Transparent => {
                self.count.transparent += 1;
                return Some(Either::Left(ready(())));
            }
            RetryDecision::WhenReachable => {
                let endpoints = Arc::clone(&self.shared.endpoints);
                return Some(Either::Right(async move { endpoints.reachable().await }.boxed()));
            }
            RetryDecision::BackOff => policy.backoff.wait(self.count.retries + 1),
            RetryDecision::After(wait) => wait,
        };
        self.shared.budget.failed();
        // A wait beyond the deadline would only turn a clear failure into a late one.
        if call.inner.ctx.deadline.map(Deadline::remaining).is_some_and(|left| wait >= left) {
            return None;
        }
        if !self.shared.budget.withdraw() {
            self.shared.metrics.retry_refused();
            return None;
        }
        self.count.retries += 1;
        self.shared.metrics.retried();
        Some(Either::Right(tokio::time::sleep(wait).boxed()))
    }

    fn clone_request(&mut self, call: &Call) -> Option<Call> {
        Some(call.clone())
    }
}

// === impl Facts ===

impl Facts {
    fn of(call: &Call) -> Self {
        let method = &call.inner.method;
        Self {
            policy: method.policy().retry,
            is_idempotent: method.is_idempotent(),
            // Of a method that no descriptor names, a service config says that it may be sent again.
            is_unary: call.is_unary() || (method.kind() == MethodKind::Unknown && method.policy().retry.is_explicit),
            can_be_sent: call.inner.request.can_be_sent(),
            wait_for_ready: method.policy().wait_for_ready,
        }
    }

    /// Whether a call that a server may have seen may be sent again.
    fn may_be_sent_twice(&self) -> bool {
        self.is_unary && (self.is_idempotent || self.policy.is_explicit)
    }
}

/// Returns whether gRFC A6 has a call that stays failed pay for its last attempt: one that another try may have mended, or
/// that the server asks not to repeat. The failures of hedged calls have paid already.
fn costs_a_token(call: &Call, failure: &Failure) -> bool {
    let policy = call.inner.method.policy();
    match failure.cause {
        _ if policy.hedge.non_fatal.is_some() => false,
        Cause::Answered(Pushback::Never) => true,
        Cause::Answered(_) | Cause::Lost => policy.retry.codes.contains(failure.status.code()),
        _ => false,
    }
}

/// Decides by what is known: whether the call may have had an effect, and whether another try can help.
fn decide(facts: Facts, failure: &Failure, count: RetryCount) -> RetryDecision {
    let Facts { policy, .. } = facts;
    if !facts.can_be_sent {
        return RetryDecision::No;
    }
    let may_back_off = count.retries < policy.max_retries;
    let is_mendable = || facts.may_be_sent_twice() && may_back_off && policy.codes.contains(failure.status.code());
    match failure.cause {
        Cause::Unsent if policy.is_transparent && count.transparent < MAX_TRANSPARENT_RETRIES => {
            RetryDecision::Transparent
        }
        Cause::Unreachable if facts.wait_for_ready => RetryDecision::WhenReachable,
        Cause::Unsent | Cause::Unreachable if may_back_off => RetryDecision::BackOff,
        Cause::Lost if is_mendable() => RetryDecision::BackOff,
        Cause::Answered(pushback) if is_mendable() => match pushback {
            Pushback::Unsaid => RetryDecision::BackOff,
            Pushback::After(wait) => RetryDecision::After(wait),
            Pushback::Never => RetryDecision::No,
        },
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
