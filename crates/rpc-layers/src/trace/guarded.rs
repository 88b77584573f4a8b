//! A future inside the span of its guard.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use super::span_guard::SpanGuard;

pin_project! {
    /// Runs a future inside a span, and returns the span's guard with its result. If it is dropped before that, it drops
    /// the future inside the span, and then the guard.
    ///
    /// `Instrumented` would do the same with a second handle of the span, and would enter it once more to drop a future
    /// that has ended: a few look-ups of the span in the registry, of which an exported request has fifty.
    #[derive(Debug)]
    pub(super) struct Guarded<F> {
        #[pin]
        inner: Option<F>,
        // `None` after the end.
        guard: Option<SpanGuard>,
    }

    impl<F> PinnedDrop for Guarded<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if let Some(guard) = this.guard {
                guard.span().in_scope(|| this.inner.set(None));
            }
        }
    }
}

// === impl Guarded ===

impl<F> Guarded<F> {
    /// Calls `start` inside the guard's span, and runs its future there.
    pub(super) fn start(guard: SpanGuard, start: impl FnOnce() -> F) -> Self {
        let inner = guard.span().in_scope(start);
        Self { inner: Some(inner), guard: Some(guard) }
    }
}

impl<F: Future> Future for Guarded<F> {
    type Output = (F::Output, SpanGuard);

    /// # Panics
    ///
    /// Panics if it is polled after its end.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let span = this.guard.as_ref().map(SpanGuard::span).expect("it is not polled after its end");
        let result = ready!(span.in_scope(|| {
            let result = this.inner.as_mut().as_pin_mut().map(|inner| inner.poll(cx));
            let result = result.expect("it ends with its guard");
            if result.is_ready() {
                this.inner.set(None);
            }
            result
        }));
        Poll::Ready((result, this.guard.take().expect("it was there")))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::{pending, ready},
        sync::Arc,
    };

    use parking_lot::Mutex;
    use tracing::Span;

    use super::*;

    /// Notes in which span it is dropped.
    struct Noting(Arc<Mutex<Vec<Option<&'static str>>>>);

    impl Drop for Noting {
        fn drop(&mut self) {
            self.0.lock().push(Span::current().metadata().map(tracing::Metadata::name));
        }
    }

    async fn after<F: Future>(future: F, noting: Noting) -> F::Output {
        let output = future.await;
        drop(noting);
        output
    }

    #[tokio::test]
    async fn a_future_is_dropped_once_and_inside_its_span() {
        let _default = tracing::subscriber::set_default(tracing_subscriber::registry());
        let dropped = Arc::default();
        let guard = || SpanGuard::client(tracing::info_span!("call"), None);
        let ((), guard_back) = Guarded::start(guard(), || after(ready(()), Noting(Arc::clone(&dropped)))).await;
        assert_eq!(*dropped.lock(), [Some("call")], "it has ended");
        drop(guard_back);
        let mut waits = Box::pin(Guarded::start(guard(), || after(pending::<()>(), Noting(Arc::clone(&dropped)))));
        assert!(futures::poll!(waits.as_mut()).is_pending());
        drop(waits);
        assert_eq!(*dropped.lock(), [Some("call"); 2], "it was dropped before");
    }
}
