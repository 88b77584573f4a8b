//! Holds a whole call to its deadline: every wait for a permit, an endpoint, a retry or a connection counts.

use std::task::{Context, Poll};

use futures::{
    FutureExt as _,
    future::{BoxFuture, ready},
};
use rpc_layers::deadline::Deadline;
use tokio::task::coop::consume_budget;
use tonic::{Code, Status};
use tower::{Service, ServiceExt as _};

use crate::{
    call::Call,
    error::{Cause, Failure},
};

/// Ends a call at its deadline, or when its method's timeout has passed if that is earlier. Dropping what it waits for
/// stops all attempts.
///
/// Each call counts against its task's budget in tokio's cooperative scheduling. A caller whose calls are rejected at once,
/// and who makes the next one at once, would otherwise keep its thread from the tasks that connect again.
///
/// tower's own timeout has one duration for all calls. Each attempt is held to the deadline once more below, where what is
/// left goes into `grpc-timeout`; so is the body of a reply that streams.
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

impl<S> CallDeadline<S>
where
    S: Service<Call, Error = Failure> + Clone + Send + 'static,
    S::Response: Send,
    S::Future: Send,
{
    /// Starts a call: its method's timeout begins now.
    pub(crate) fn start(&self, call: Call) -> BoxFuture<'static, Result<S::Response, Failure>> {
        let deadline = deadline_of(&call);
        let call = match deadline {
            Some(deadline) if call.inner.ctx.deadline != Some(deadline) => call.with_deadline(deadline),
            _ => call,
        };
        let inner = self.inner.clone();
        let answer = async move {
            consume_budget().await;
            inner.oneshot(call).await
        };
        let Some(deadline) = deadline else { return answer.boxed() };
        let had = deadline.remaining();
        if had.is_zero() {
            return ready(Err(late("deadline exceeded before the call was made".to_owned()))).boxed();
        }
        let answer = tokio::time::timeout_at(deadline.instant(), answer).map(move |answer| match answer {
            Ok(Err(failure)) if !is_same(&failure, deadline) => Err(failure),
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(_)) | Err(_) => Err(late(format!("deadline exceeded: the call had {} ms", had.as_millis()))),
        });
        answer.boxed()
    }
}

impl<S> Service<Call> for CallDeadline<S>
where
    S: Service<Call, Error = Failure> + Clone + Send + 'static,
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

    fn call(&mut self, call: Call) -> Self::Future {
        self.start(call)
    }
}

/// Returns the earlier of the call's deadline and its method's timeout from now.
fn deadline_of(call: &Call) -> Option<Deadline> {
    let timeout = call.inner.method.policy().timeout.map(Deadline::after);
    match (call.inner.ctx.deadline, timeout) {
        (Some(deadline), Some(timeout)) => Some(deadline.min(timeout)),
        (deadline, timeout) => deadline.or(timeout),
    }
}

/// Returns whether a backend says that the deadline which has passed is exceeded. It had what was left, and may be heard
/// before the timer here is.
fn is_same(failure: &Failure, deadline: Deadline) -> bool {
    matches!(failure.cause, Cause::Answered(_)) && failure.status.code() == Code::DeadlineExceeded && deadline.is_past()
}

fn late(message: String) -> Failure {
    Failure::new(Cause::Late, Status::deadline_exceeded(message))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tower_test::mock;

    use super::*;
    use crate::{config::Config, method::Method, method_policy::MethodPolicy};

    type Inner = tower::util::MapErr<mock::Mock<Call, ()>, fn(tower::BoxError) -> Failure>;

    /// Removes the error type of the mock, which never fails here.
    fn inner() -> (Inner, mock::Handle<Call, ()>) {
        let (inner, handle) = mock::pair();
        (tower::util::MapErr::new(inner, |error| panic!("{error}")), handle)
    }

    fn call(left: Duration) -> Call {
        Call::example().with_deadline(Deadline::after(left))
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_for_the_layers_below_counts() {
        let (inner, mut handle) = inner();
        handle.allow(0); // never ready
        let begun = tokio::time::Instant::now();
        let failure = CallDeadline::new(inner).oneshot(call(Duration::from_secs(2))).await.unwrap_err();
        assert_eq!((failure.cause, begun.elapsed().as_secs()), (Cause::Late, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_methods_timeout_is_a_deadline_too() {
        let (inner, mut handle) = inner();
        handle.allow(0); // never ready
        let policy = MethodPolicy { timeout: Some(Duration::from_secs(1)), ..MethodPolicy::of(&Config::default()) };
        let begun = tokio::time::Instant::now();
        let call =
            Call::of(Method::with_policy(true, policy), b"").with_deadline(Deadline::after(Duration::from_secs(2)));
        let failure = CallDeadline::new(inner).oneshot(call).await.unwrap_err();
        assert_eq!((failure.cause, begun.elapsed().as_secs()), (Cause::Late, 1));
    }

    #[tokio::test]
    async fn calls_that_are_rejected_at_once_let_other_tasks_run() {
        let rejecting = tower::service_fn(|_: Call| ready(Err::<(), _>(late("at once".to_owned()))));
        let other = tokio::spawn(async {});
        for _ in 0..1_000 {
            CallDeadline::new(rejecting).oneshot(Call::example()).await.unwrap_err();
        }
        assert!(other.is_finished());
    }

    #[tokio::test(start_paused = true)]
    async fn a_backend_that_says_so_when_the_deadline_has_passed_is_not_another_cause() {
        let answer_after = |ms: u64| async move {
            let backend = tower::service_fn(move |_: Call| async move {
                tokio::time::advance(Duration::from_millis(ms)).await;
                let cause = Cause::Answered(crate::error::Pushback::Unsaid);
                Err::<(), _>(Failure::new(cause, Status::deadline_exceeded("the backend's")))
            });
            CallDeadline::new(backend).oneshot(call(Duration::from_secs(1))).await.unwrap_err()
        };
        let early = answer_after(999).await;
        assert_eq!((early.status.message(), matches!(early.cause, Cause::Answered(_))), ("the backend's", true));
        assert_eq!(answer_after(1000).await.cause, Cause::Late);
    }

    #[tokio::test(start_paused = true)]
    async fn a_past_deadline_calls_nothing() {
        let (inner, mut handle) = inner();
        let failure = CallDeadline::new(inner).oneshot(call(Duration::ZERO)).await.unwrap_err();
        assert_eq!(failure.cause, Cause::Late);
        assert!(handle.next_request().await.is_none(), "nothing was called");
    }
}
