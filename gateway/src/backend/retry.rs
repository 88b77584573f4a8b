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

use super::{
    backoff::full_jitter,
    budget::budget,
    call::{AnyReply, UnaryCall},
    failure::{Cause, Failure, Pushback},
    meters::Meters,
};

/// The longest wait before the first retry; it doubles with each.
const BASE: Duration = Duration::from_millis(25);

/// The longest wait before any retry.
const CAP: Duration = Duration::from_secs(1);

/// How often a call that did not leave is handed to another replica at once.
const MAX_HANDOVERS: u32 = 5;

/// tower's retry policy for a backend: made for each call by cloning.
#[derive(Clone, Debug)]
pub(super) struct RetryPolicy {
    shared: Arc<Shared>,
    done: Done,
}

#[derive(Debug)]
struct Shared {
    retries: u32,
    budget: TpsBudget,
    meters: Meters,
}

/// How often one call was sent again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Done {
    retries: u32,
    handovers: u32,
}

/// Whether to send a call again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It stays failed.
    No,
    /// At once and free of charge: nothing reached the backend.
    HandOver,
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
    pub(super) fn new(retries: u32, share: f32, floor: u32, meters: Meters) -> Self {
        let budget = budget(share, floor);
        Self { shared: Arc::new(Shared { retries, budget, meters }), done: Done::default() }
    }
}

impl Policy<UnaryCall, AnyReply, Failure> for RetryPolicy {
    type Future = Either<Ready<()>, Sleep>;

    fn retry(&mut self, call: &mut UnaryCall, result: &mut Result<AnyReply, Failure>) -> Option<Self::Future> {
        let Err(failure) = result else {
            self.shared.budget.deposit();
            return None;
        };
        let wait = match verdict(call.asked.method.is_idempotent(), failure, self.done, self.shared.retries) {
            Verdict::No => return None,
            Verdict::HandOver => {
                self.done.handovers += 1;
                return Some(Either::Left(ready(())));
            }
            Verdict::BackOff => full_jitter(BASE, CAP, self.done.retries + 1),
            Verdict::After(wait) => wait,
        };
        // A wait beyond the deadline would only turn a clear failure into a late one.
        let left = call.asked.handed_on.deadline.map(rpc_layers::deadline::Deadline::remaining);
        if left.is_some_and(|left| wait >= left) {
            return None;
        }
        if !self.shared.budget.withdraw() {
            self.shared.meters.retry_refused();
            return None;
        }
        self.done.retries += 1;
        self.shared.meters.retried();
        Some(Either::Right(tokio::time::sleep(wait)))
    }

    fn clone_request(&mut self, call: &UnaryCall) -> Option<UnaryCall> {
        Some(call.clone())
    }
}

/// Decides by what is known: whether the call may have had an effect, and whether another try can help.
fn verdict(idempotent: bool, failure: &Failure, done: Done, retries: u32) -> Verdict {
    let spent = done.retries >= retries;
    match failure.cause {
        Cause::Unsent if retries > 0 && done.handovers < MAX_HANDOVERS => Verdict::HandOver,
        Cause::Unsent | Cause::Unreachable if !spent => Verdict::BackOff,
        Cause::Lost if idempotent && !spent => Verdict::BackOff,
        Cause::Answered(pushback) if idempotent && !spent && failure.status.code() == Code::Unavailable => {
            match pushback {
                Pushback::Unsaid => Verdict::BackOff,
                Pushback::After(wait) => Verdict::After(wait),
                Pushback::Never => Verdict::No,
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
        | Cause::Internal => Verdict::No,
    }
}

#[cfg(test)]
#[path = "retry_tests.rs"]
mod tests;
