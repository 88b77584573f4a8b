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
    /// that has ended: each is a few look-ups of the span by every layer of the subscriber.
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
