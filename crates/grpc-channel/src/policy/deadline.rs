//! Holds a whole call to its deadline: every wait for a permit, a replica, a retry or a connection counts.

use std::task::{Context, Poll};

use futures::{
    FutureExt as _, TryFutureExt as _,
    future::{BoxFuture, ready},
};
use tonic::Status;
use tower::{BoxError, Service, ServiceExt as _};

use crate::{
    call::UnaryCall,
    error::{Cause, Failure},
};

/// Ends a call at the deadline of the request it is made for. Dropping what it waits for then stops all attempts.
///
/// tower's own timeout has one duration for all calls. Each attempt is held to the deadline once more below, where the
/// backend is told what is left.
#[derive(Clone, Debug)]
pub(crate) struct CallDeadline<S> {
    inner: S,
}

// === impl CallDeadline ===

impl<S> CallDeadline<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S> Service<UnaryCall> for CallDeadline<S>
where
    S: Service<UnaryCall> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Response: Send,
    S::Future: Send,
{
    type Response = S::Response;
    type Error = Failure;
    type Future = BoxFuture<'static, Result<S::Response, Failure>>;

    /// Always ready: waiting for the layers below belongs to the call, because only the call has a deadline.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: UnaryCall) -> Self::Future {
        let deadline = call.inner.ctx.deadline;
        let answer = self.inner.clone().oneshot(call).map_err(|error| Failure::from(error.into()));
        let Some(deadline) = deadline else { return answer.boxed() };
        let had = deadline.remaining();
        if had.is_zero() {
            return ready(Err(late("deadline exceeded before the call was made".to_owned()))).boxed();
        }
        let answer = tokio::time::timeout_at(deadline.instant(), answer).map(move |answer| {
            answer.unwrap_or_else(|_| Err(late(format!("deadline exceeded: the call had {} ms", had.as_millis()))))
        });
        answer.boxed()
    }
}

fn late(message: String) -> Failure {
    Failure::new(Cause::Late, Status::deadline_exceeded(message))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rpc_layers::deadline::Deadline;
    use tower_test::mock;

    use super::*;

    fn call(left: Duration) -> UnaryCall {
        UnaryCall::example().until(Deadline::after(left))
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_for_the_layers_below_counts() {
        let (inner, mut handle) = mock::pair::<UnaryCall, ()>();
        handle.allow(0); // never ready
        let begun = tokio::time::Instant::now();
        let failure = CallDeadline::new(inner).oneshot(call(Duration::from_secs(2))).await.unwrap_err();
        assert_eq!((failure.cause, begun.elapsed().as_secs()), (Cause::Late, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_past_deadline_calls_nothing() {
        let (inner, mut handle) = mock::pair::<UnaryCall, ()>();
        let failure = CallDeadline::new(inner).oneshot(call(Duration::ZERO)).await.unwrap_err();
        assert_eq!(failure.cause, Cause::Late);
        assert!(handle.next_request().await.is_none(), "nothing was called");
    }
}
