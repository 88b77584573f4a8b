//! Watches a reply's body for its trailers.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tonic::Code;
use tracing::Span;

use super::ending::{Ending, Kind, code_name};

pin_project! {
    /// A body that ends a span when it ends itself.
    #[derive(Debug)]
    pub struct TracedBody<B> {
        #[pin]
        inner: B,
        // None once the end has been seen.
        watch: Option<Watch>,
    }
}

/// An open span of a call. Dropped, it ends as cancelled.
#[derive(Debug)]
pub(super) struct Watch {
    kind: Kind,
    method: String,
    span: Span,
    begun: Instant,
    /// How long the caller said it would wait.
    patience: Option<Duration>,
    ended: bool,
}

// === impl TracedBody ===

impl<B> TracedBody<B> {
    pub(super) fn new(inner: B, watch: Option<Watch>) -> Self {
        Self { inner, watch }
    }
}

impl<B: Body> Body for TracedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.project();
        let Some(watch) = &this.watch else { return this.inner.poll_frame(cx) };
        // A reply that is streamed makes calls while it is polled: they are this span's.
        let frame = ready!(watch.span.in_scope(|| this.inner.poll_frame(cx)));
        let ending = match &frame {
            Some(Ok(frame)) => frame.trailers_ref().and_then(Ending::of),
            // A stream that breaks off, or ends without trailers, has no status.
            Some(Err(_)) | None => Some(Ending::Status(Code::Unknown)),
        };
        if let Some(ending) = ending
            && let Some(watch) = this.watch.take()
        {
            watch.end(ending);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// How much earlier than a deadline of its own making a caller's reset may arrive: a
/// request spends some of its time on the way and in queues before it begins here.
fn tolerance(patience: Duration) -> Duration {
    patience / 10 + Duration::from_millis(10)
}

// === impl Watch ===

impl Watch {
    pub(super) fn new(kind: Kind, method: String, span: Span) -> Self {
        Self { kind, method, span, begun: Instant::now(), patience: None, ended: false }
    }

    /// Notes how long the caller said it would wait.
    pub(super) fn with_patience(mut self, patience: Option<Duration>) -> Self {
        self.patience = patience;
        self
    }

    pub(super) fn span(&self) -> &Span {
        &self.span
    }

    pub(super) fn end(mut self, ending: Ending) {
        self.record(ending);
    }

    fn record(&mut self, ending: Ending) {
        self.ended = true;
        ending.record(self.kind, &self.span);
        if self.kind == Kind::Client {
            return;
        }
        let (code, duration_ms) = (code_name(ending.code()), self.begun.elapsed().as_millis());
        let duration_ms = u64::try_from(duration_ms).unwrap_or(u64::MAX);
        let method = &*self.method;
        match ending {
            Ending::Dropped => {
                tracing::info!(parent: &self.span, method, code, duration_ms, "request cancelled by its caller");
            }
            Ending::Status(_) => tracing::info!(parent: &self.span, method, code, duration_ms, "request finished"),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        // A caller whose own timer runs out resets the call, often a moment before the same
        // deadline is noticed here. That is the deadline's doing, not a change of mind.
        let at_deadline = self.patience.is_some_and(|patience| self.begun.elapsed() + tolerance(patience) >= patience);
        self.record(if at_deadline { Ending::Status(Code::DeadlineExceeded) } else { Ending::Dropped });
    }
}
