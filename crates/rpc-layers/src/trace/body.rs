//! Watches a reply's body for its trailers.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tonic::{Code, Status};
use tracing::Span;

use super::{
    duration::CallDuration,
    ending::{Ending, Kind, code_name},
    method::RpcMethod,
};

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
    span: Span,
    side: Side,
    ended: bool,
}

#[derive(Debug)]
enum Side {
    Server(Served),
    /// What is measured of a call that this process makes. Its span says the rest.
    Client(Option<Called>),
}

/// A request that this process answers.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) method: RpcMethod,
    pub(super) begun: Instant,
    /// How long the caller said it would wait.
    pub(super) patience: Option<Duration>,
    /// Nothing where nobody gets metrics.
    pub(super) duration: Option<CallDuration>,
}

/// A call that this process makes, where somebody gets metrics.
#[derive(Debug)]
pub(super) struct Called {
    pub(super) method: RpcMethod,
    pub(super) begun: Instant,
    pub(super) duration: CallDuration,
}

// === impl TracedBody ===

impl<B> TracedBody<B> {
    pub(super) fn new(inner: B, watch: Option<Watch>) -> Self {
        Self { inner, watch }
    }
}

impl<B: Body<Error = Status>> Body for TracedBody<B> {
    type Data = B::Data;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Self::Data>, Status>>> {
        let this = self.project();
        let Some(watch) = &this.watch else { return this.inner.poll_frame(cx) };
        // A reply that is streamed makes calls while it is polled: they are this span's.
        let frame = ready!(watch.span.in_scope(|| this.inner.poll_frame(cx)));
        let ending = match &frame {
            Some(Ok(frame)) => frame.trailers_ref().and_then(Ending::of),
            Some(Err(status)) => Some(Ending::Status(status.code())),
            // A stream that ends without trailers has no status.
            None => Some(Ending::Status(Code::Unknown)),
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
    /// Watches a call that this process makes.
    pub(super) fn client(span: Span, call: Option<Called>) -> Self {
        Self { span, side: Side::Client(call), ended: false }
    }

    /// Watches a request.
    pub(super) fn server(span: Span, request: Served) -> Self {
        Self { span, side: Side::Server(request), ended: false }
    }

    pub(super) fn span(&self) -> &Span {
        &self.span
    }

    pub(super) fn end(mut self, ending: Ending) {
        self.record(ending);
    }

    fn record(&mut self, ending: Ending) {
        self.ended = true;
        match &self.side {
            Side::Server(request) => {
                ending.record(Kind::Server, &self.span);
                let took = request.begun.elapsed();
                if let Some(duration) = &request.duration {
                    duration.record(&request.method, took, ending.code());
                }
                request.log(ending, took, &self.span);
            }
            Side::Client(call) => {
                ending.record(Kind::Client, &self.span);
                if let Some(Called { method, begun, duration }) = call {
                    duration.record(method, begun.elapsed(), ending.code());
                }
            }
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
        let at_deadline = matches!(&self.side, Side::Server(request) if request.is_due());
        self.record(if at_deadline { Ending::Status(Code::DeadlineExceeded) } else { Ending::Dropped });
    }
}

// === impl Served ===

impl Served {
    fn log(&self, ending: Ending, took: Duration, span: &Span) {
        let (method, code) = (self.method.original(), code_name(ending.code()));
        let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        match ending {
            Ending::Dropped => {
                tracing::info!(parent: span, method, code, duration_ms, "request cancelled by its caller");
            }
            Ending::Status(_) => tracing::info!(parent: span, method, code, duration_ms, "request finished"),
        }
    }

    /// Whether the caller's own deadline has come.
    fn is_due(&self) -> bool {
        self.patience.is_some_and(|patience| self.begun.elapsed() + tolerance(patience) >= patience)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fmt,
        future::poll_fn,
        sync::{Arc, Mutex},
    };

    use bytes::Bytes;
    use tracing::{
        field::{Empty, Field, Visit},
        span::{Id, Record},
    };
    use tracing_subscriber::{
        layer::{Context as LayerContext, SubscriberExt as _},
        registry::Registry,
    };

    use super::*;

    /// The status codes that spans were given.
    #[derive(Clone, Default)]
    struct Codes(Arc<Mutex<Vec<String>>>);

    impl tracing_subscriber::Layer<Registry> for Codes {
        fn on_record(&self, _: &Id, values: &Record<'_>, _: LayerContext<'_, Registry>) {
            values.record(&mut self.clone());
        }
    }

    impl Visit for Codes {
        fn record_str(&mut self, field: &Field, value: &str) {
            if field.name() == "rpc.response.status_code" {
                self.0.lock().unwrap().push(value.to_owned());
            }
        }

        fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
    }

    /// A body of this one frame or error, or without an end.
    struct Only(Option<Result<Frame<Bytes>, Status>>);

    impl Body for Only {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            self.0.take().map_or(Poll::Pending, |frame| Poll::Ready(Some(frame)))
        }
    }

    /// The codes that the span of a reply with this body was given.
    async fn codes(body: Only) -> Vec<String> {
        let codes = Codes::default();
        let subscriber = tracing_subscriber::registry().with(codes.clone());
        let _default = tracing::subscriber::set_default(subscriber);
        let span = tracing::info_span!("client", rpc.response.status_code = Empty);
        let has_a_frame = body.0.is_some();
        let mut body = Box::pin(TracedBody::new(body, Some(Watch::client(span, None))));
        if has_a_frame {
            let _ = poll_fn(|cx| body.as_mut().poll_frame(cx)).await;
        }
        drop(body);
        codes.0.lock().unwrap().clone()
    }

    #[tokio::test]
    async fn the_span_has_the_code_that_ended_the_body() {
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", http::HeaderValue::from_static("5"));
        assert_eq!(codes(Only(Some(Ok(Frame::trailers(trailers))))).await, ["NOT_FOUND"]);
        // A reply that stalled after its headers until its deadline.
        assert_eq!(codes(Only(Some(Err(Status::deadline_exceeded("late"))))).await, ["DEADLINE_EXCEEDED"]);
        assert_eq!(codes(Only(None)).await, ["CANCELLED"], "nobody waited for the end");
    }
}
