//! Resets calls whose replies their callers do not read.
//!
//! hyper does not poll the body of a reply while the caller's flow-control window is empty: no deadline in a layer ends
//! then, and whatever the body holds stays. So the task of the call has a timer, outside of hyper.

use std::{
    cell::{Cell, RefCell},
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response};
use pin_project_lite::pin_project;
use rpc_layers::deadline::timeout_of;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tonic::{body::Body, server::NamedService};
use tower::{Layer, Service};

/// How long after its deadline, or the end of its reply, a caller may take to read it.
const GRACE: Duration = Duration::from_secs(2);

tokio::task_local! {
    /// When the call of this task is reset.
    static EXPIRY: Expiry;
}

/// When a call is reset: never, unless it is set.
#[derive(Debug, Default)]
struct Expiry {
    at: Cell<Option<Instant>>,
    drain: RefCell<Option<CancellationToken>>,
}

/// Ends when a call is to be reset.
type Timer = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Drops a call, which resets it at its caller, as [`ReplyTimeoutLayer`] says.
pub(super) async fn reset_when_expired(call: impl Future) {
    let call = Expiring { call, timer: None };
    if EXPIRY.scope(Expiry::default(), call).await.is_none() {
        tracing::debug!("a call was reset: its caller did not read the reply");
    }
}

/// Resets the call of this task also if its reply has not been read a moment after the drain has started. For replies
/// that end then: one whose caller does not read would hold the drain.
pub(crate) fn end_with_drain(drain: &CancellationToken) {
    // Fails outside of a connection's task, as in a test of the service alone.
    let _ = EXPIRY.try_with(|expiry| expiry.drain.replace(Some(drain.clone())));
}

pin_project! {
    /// A call with its timer. Its output is `None` if the time is over.
    struct Expiring<F> {
        #[pin]
        call: F,
        timer: Option<Timer>,
    }
}

impl<F: Future> Future for Expiring<F> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        let this = self.project();
        if let Poll::Ready(output) = this.call.poll(cx) {
            return Poll::Ready(Some(output));
        }
        if this.timer.is_none() {
            *this.timer = EXPIRY.with(Expiry::timer);
        }
        let Some(timer) = this.timer else { return Poll::Pending };
        timer.as_mut().poll(cx).map(|()| None)
    }
}

// === impl Expiry ===

impl Expiry {
    /// Returns a timer for what is set.
    fn timer(&self) -> Option<Timer> {
        let at = self.at.get();
        let Some(drain) = self.drain.take() else { return Some(Box::pin(sleep_until(at?))) };
        Some(Box::pin(async move {
            let drained = async {
                drain.cancelled().await;
                sleep(GRACE).await;
            };
            let expired = async {
                match at {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = drained => {}
                () = expired => {}
            }
        }))
    }
}

/// Resets calls whose reply has not been read two seconds after the deadline: that of the layer, or a shorter one of the
/// caller. Has to be the outermost layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReplyTimeoutLayer {
    deadline: Duration,
}

/// The service of [`ReplyTimeoutLayer`].
#[derive(Clone, Debug)]
pub(crate) struct ReplyTimeout<S> {
    inner: S,
    deadline: Duration,
}

pin_project! {
    /// The response future of [`ReplyTimeout`].
    pub(crate) struct ReplyTimeoutFuture<F> {
        #[pin]
        inner: F,
        // `None` when the task knows it.
        expiry: Option<Instant>,
    }
}

// === impl ReplyTimeoutLayer ===

impl ReplyTimeoutLayer {
    pub(crate) fn new(deadline: Duration) -> Self {
        Self { deadline }
    }
}

impl<S> Layer<S> for ReplyTimeoutLayer {
    type Service = ReplyTimeout<S>;

    fn layer(&self, inner: S) -> ReplyTimeout<S> {
        ReplyTimeout { inner, deadline: self.deadline }
    }
}

// === impl ReplyTimeout ===

impl<S: NamedService> NamedService for ReplyTimeout<S> {
    const NAME: &'static str = S::NAME;
}

impl<S, R> Service<Request<Body>> for ReplyTimeout<S>
where
    S: Service<Request<Body>, Response = Response<R>, Error = Infallible>,
{
    type Response = Response<R>;
    type Error = Infallible;
    type Future = ReplyTimeoutFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // The deadline layer answers a malformed header.
        let callers = timeout_of(request.headers()).ok().flatten();
        let deadline = callers.map_or(self.deadline, |callers| callers.min(self.deadline));
        // A deadline of the configuration may be too far away for the clock.
        let expiry = Instant::now().checked_add(deadline.saturating_add(GRACE));
        ReplyTimeoutFuture { inner: self.inner.call(request), expiry }
    }
}

// === impl ReplyTimeoutFuture ===

impl<F: Future> Future for ReplyTimeoutFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        if let Some(expiry) = this.expiry.take() {
            // Fails outside of a connection's task, as in a test of the service alone.
            let _ = EXPIRY.try_with(|at| at.at.set(Some(expiry)));
        }
        this.inner.poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tower::{ServiceExt as _, service_fn};

    use super::*;

    /// Runs a call that answers at once, and whose reply is never read. Returns how long it lasts.
    async fn unread(headers: &[(&str, &str)]) -> Duration {
        let mut request = Request::builder();
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        let service = service_fn(|_: Request<Body>| ready(Ok::<_, Infallible>(Response::new(()))));
        let service = ReplyTimeoutLayer::new(Duration::from_secs(30)).layer(service);
        let begun = Instant::now();
        reset_when_expired(async {
            service.oneshot(request).await.unwrap();
            pending::<()>().await;
        })
        .await;
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn an_unread_reply_is_given_up_after_its_deadline() {
        assert_eq!(unread(&[]).await, Duration::from_secs(30) + GRACE);
        assert_eq!(unread(&[("grpc-timeout", "5S")]).await, Duration::from_secs(5) + GRACE);
        assert_eq!(unread(&[("grpc-timeout", "1H")]).await, Duration::from_secs(30) + GRACE);
    }

    #[tokio::test(start_paused = true)]
    async fn an_unread_reply_that_ends_with_the_drain_is_given_up_after_it() {
        let (drain, begun) = (CancellationToken::new(), Instant::now());
        let starts = drain.clone();
        tokio::spawn(async move {
            sleep(Duration::from_mins(1)).await;
            starts.cancel();
        });
        reset_when_expired(async {
            end_with_drain(&drain);
            pending::<()>().await;
        })
        .await;
        assert_eq!(begun.elapsed(), Duration::from_mins(1) + GRACE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_without_the_layer_has_no_limit() {
        let endless = reset_when_expired(pending::<()>());
        tokio::time::timeout(Duration::from_hours(24), endless).await.unwrap_err();
    }
}
