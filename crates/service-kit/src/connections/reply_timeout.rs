//! Resets calls whose replies their callers do not read.
//!
//! The body of a reply is not polled while the caller's flow-control window is empty: no deadline in a layer ends then, and
//! whatever the body holds stays. So a call that waits for room has a timer, see `reply`.

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
    /// When the call that is being polled is reset.
    static EXPIRY: Setting;
}

/// When a call is reset if its reply waits for room: never, unless it is set.
#[derive(Debug, Default)]
pub(super) struct Expiry {
    at: Option<Instant>,
    drain: Option<CancellationToken>,
}

/// What is set of an [`Expiry`] while its call is polled.
#[derive(Debug, Default)]
struct Setting {
    at: Cell<Option<Instant>>,
    drain: RefCell<Option<CancellationToken>>,
}

/// Ends when a call is to be reset.
pub(super) type Timer = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Resets the call that is being polled also if its reply has not been read a moment after the drain has started. For
/// replies that end then: one whose caller does not read would hold the drain.
pub(crate) fn end_with_drain(drain: &CancellationToken) {
    // Fails outside of a connection, as in a test of the service alone.
    let _ = EXPIRY.try_with(|expiry| expiry.drain.replace(Some(drain.clone())));
}

// === impl Expiry ===

impl Expiry {
    /// Polls a call, which may set its expiry meanwhile.
    pub(super) fn set_during<T>(&mut self, poll: impl FnOnce() -> T) -> T {
        EXPIRY.sync_scope(Setting::default(), || {
            let polled = poll();
            EXPIRY.with(|set| {
                self.at = set.at.take().or(self.at);
                if let Some(drain) = set.drain.take() {
                    self.drain = Some(drain);
                }
            });
            polled
        })
    }

    /// Returns a timer for what is set.
    pub(super) fn timer(&self) -> Option<Timer> {
        let at = self.at;
        let Some(drain) = self.drain.clone() else { return Some(Box::pin(sleep_until(at?))) };
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
        // `None` when the call knows it.
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
            // Fails outside of a connection, as in a test of the service alone.
            let _ = EXPIRY.try_with(|at| at.at.set(Some(expiry)));
        }
        this.inner.poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::{future::ready, pin::pin, task::Waker};

    use tower::{ServiceExt as _, service_fn};

    use super::*;

    /// Makes a call that is answered at once. Returns after what time it is reset if its reply is not read.
    async fn unread(headers: &[(&str, &str)]) -> Duration {
        let mut request = Request::builder();
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        let service = service_fn(|_: Request<Body>| ready(Ok::<_, Infallible>(Response::new(()))));
        let mut call = pin!(ReplyTimeoutLayer::new(Duration::from_secs(30)).layer(service).oneshot(request));
        let (mut expiry, begun) = (Expiry::default(), Instant::now());
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(expiry.set_during(|| call.as_mut().poll(cx)).is_ready());
        expiry.timer().unwrap().await;
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
        let mut expiry = Expiry::default();
        expiry.set_during(|| end_with_drain(&drain));
        expiry.set_during(|| {});
        tokio::spawn(async move {
            sleep(Duration::from_mins(1)).await;
            drain.cancel();
        });
        expiry.timer().unwrap().await;
        assert_eq!(begun.elapsed(), Duration::from_mins(1) + GRACE);
    }

    #[test]
    fn a_call_without_the_layer_has_no_limit() {
        assert!(Expiry::default().timer().is_none());
    }
}
