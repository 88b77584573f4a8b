//! Reads a reply's body up to its trailers.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tonic::{Code, Status};

use super::{end_reason::EndReason, span_guard::SpanGuard};

pin_project! {
    /// A reply's body. Ends the call's span when it ends or is dropped.
    #[derive(Debug)]
    pub struct TracedBody<B> {
        #[pin]
        inner: B,
        // `None` after the end.
        guard: Option<SpanGuard>,
    }
}

// === impl TracedBody ===

impl<B> TracedBody<B> {
    pub(super) fn new(inner: B, guard: Option<SpanGuard>) -> Self {
        Self { inner, guard }
    }
}

impl<B: Body<Error = Status>> Body for TracedBody<B> {
    type Data = B::Data;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Self::Data>, Status>>> {
        let this = self.project();
        let Some(guard) = &this.guard else { return this.inner.poll_frame(cx) };
        // A streamed reply makes its calls while it is polled: they belong to this span.
        let frame = match guard.served_span() {
            Some(span) => ready!(span.in_scope(|| this.inner.poll_frame(cx))),
            None => ready!(this.inner.poll_frame(cx)),
        };
        let reason = match &frame {
            Some(Ok(frame)) => frame.trailers_ref().and_then(EndReason::from_headers),
            Some(Err(status)) => Some(EndReason::Status(status.code())),
            // A stream that ends without trailers has no status.
            None => Some(EndReason::Status(Code::Unknown)),
        };
        if let Some(reason) = reason
            && let Some(guard) = this.guard.take()
        {
            guard.end(reason);
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

    /// Collects the status codes that are recorded on spans.
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

    /// A body of one frame or error, or one that never ends.
    struct OneFrame(Option<Result<Frame<Bytes>, Status>>);

    impl Body for OneFrame {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            self.0.take().map_or(Poll::Pending, |frame| Poll::Ready(Some(frame)))
        }
    }

    /// Returns the codes recorded on the span of a reply with this body.
    async fn codes(body: OneFrame) -> Vec<String> {
        let codes = Codes::default();
        let subscriber = tracing_subscriber::registry().with(codes.clone());
        let _default = tracing::subscriber::set_default(subscriber);
        let span = tracing::info_span!("client", rpc.response.status_code = Empty);
        let has_frame = body.0.is_some();
        let mut body = Box::pin(TracedBody::new(body, Some(SpanGuard::client(span, None))));
        if has_frame {
            let _ = poll_fn(|cx| body.as_mut().poll_frame(cx)).await;
        }
        drop(body);
        codes.0.lock().unwrap().clone()
    }

    #[tokio::test]
    async fn the_span_has_the_code_that_ended_the_body() {
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", http::HeaderValue::from_static("5"));
        assert_eq!(codes(OneFrame(Some(Ok(Frame::trailers(trailers))))).await, ["NOT_FOUND"]);
        // The reply stalled after its headers until its deadline.
        assert_eq!(codes(OneFrame(Some(Err(Status::deadline_exceeded("late"))))).await, ["DEADLINE_EXCEEDED"]);
        assert_eq!(codes(OneFrame(None)).await, ["CANCELLED"], "dropped before the end");
    }
}
