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
    endpoints::endpoint::Member,
    endpoints::outlier_detection::Round,
    endpoints::set::Roster,
    error::{Cause, Failure},
};

/// A replica that the balancer chooses only while it is connected, serving and not left out for its failures.
#[derive(Debug)]
pub(crate) struct Replica {
    roster: Arc<Roster>,
    member: Arc<Member>,
    attempt: Attempt,
    changes: WatchStream<()>,
    retry_at: Option<Pin<Box<Sleep>>>,
    /// Ends with the replica; calls in flight do not.
    _keeper: AbortOnDropHandle<()>,
}

/// A call that a replica is judged by.
struct Trial {
    roster: Arc<Roster>,
    member: Arc<Member>,
    round: Round,
    ended: bool,
}

// === impl Replica ===

impl Replica {
    /// A replica that `keeper` keeps connected.
    pub(crate) fn new(
        roster: Arc<Roster>,
        member: Arc<Member>,
        attempt: Attempt,
        keeper: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        let changes = WatchStream::new(roster.changes());
        let keeper = AbortOnDropHandle::new(tokio::spawn(keeper));
        Self { roster, member, attempt, changes, retry_at: None, _keeper: keeper }
    }
}

impl Service<UnaryCall> for Replica {
    type Response = AnyReply;
    type Error = Failure;
    type Future = BoxFuture<'static, Result<AnyReply, Failure>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        loop {
            let Err(until) = self.roster.admits(&self.member) else { return Poll::Ready(Ok(())) };
            self.retry_at = until.map(|until| Box::pin(tokio::time::sleep_until(until)));
            let is_due = self.retry_at.as_mut().is_some_and(|timer| timer.as_mut().poll(cx).is_ready());
            if !is_due && self.changes.poll_next_unpin(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn call(&mut self, call: UnaryCall) -> Self::Future {
        let round = self.roster.called(&self.member);
        let mut trial =
            Trial { roster: Arc::clone(&self.roster), member: Arc::clone(&self.member), round, ended: false };
        self.attempt.send(call).inspect(move |result| trial.end(result)).boxed()
    }
}

// === impl Trial ===

impl Trial {
    fn end(&mut self, result: &Result<AnyReply, Failure>) {
        self.ended = true;
        match result {
            // A replica that lets deadlines pass may be stuck: others are asked before it, for no longer than a while.
            Err(failure) if failure.is_backends_fault() || failure.cause == Cause::Late => {
                self.roster.failed(&self.member, self.round);
            }
            Ok(_) | Err(_) => self.roster.succeeded(&self.member, self.round),
        }
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        if !self.ended {
            self.roster.abandoned(&self.member, self.round);
        }
    }
}
