//! The open span of a call, and what is measured of the call.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tonic::Code;
use tracing::Span;

use super::{
    duration::CallDuration,
    end_reason::{EndReason, SpanKind, code_name},
    line_sample::LineSample,
    method::RpcMethod,
    saved_time::SavedTime,
    span_ids::{end_now, will_end},
};

/// An open span of a call. Ends as CANCELLED if it is dropped before [`end`](Self::end).
#[derive(Debug)]
pub(super) struct SpanGuard {
    span: Span,
    side: Side,
    ended: bool,
}

#[derive(Debug)]
enum Side {
    Server(ServerCall),
    /// `None` if no metrics are recorded: the span has everything else.
    Client(Option<ClientCall>),
}

/// A request that this process serves.
#[derive(Debug)]
pub(super) struct ServerCall {
    pub(super) method: RpcMethod,
    pub(super) started: Instant,
    /// When its headers arrived, which may be before that.
    pub(super) received: tokio::time::Instant,
    /// The caller's `grpc-timeout`, which counts from there.
    pub(super) client_timeout: Option<Duration>,
    /// `None` if no metrics are recorded.
    pub(super) duration: Option<CallDuration>,
    /// Which requests have a log line.
    pub(super) lines: Arc<LineSample>,
    /// What the handler adds to the log line.
    pub(super) saved: Option<SavedTime>,
}

/// A call that this process makes and measures.
#[derive(Debug)]
pub(super) struct ClientCall {
    pub(super) method: RpcMethod,
    pub(super) started: Instant,
    pub(super) duration: CallDuration,
}

// === impl SpanGuard ===

impl SpanGuard {
    /// Guards the span of a call that this process makes.
    pub(super) fn client(span: Span, call: Option<ClientCall>) -> Self {
        will_end(&span);
        Self { span, side: Side::Client(call), ended: false }
    }

    /// Guards the span of a request that this process serves.
    pub(super) fn server(span: Span, call: ServerCall) -> Self {
        will_end(&span);
        Self { span, side: Side::Server(call), ended: false }
    }

    pub(super) fn span(&self) -> &Span {
        &self.span
    }

    /// Returns the span of a request that this process serves: of what its reply still has to do.
    pub(super) fn served_span(&self) -> Option<&Span> {
        matches!(self.side, Side::Server(_)).then_some(&self.span)
    }

    /// Adds what the handler saved, or will have saved at the end of the reply.
    pub(super) fn set_saved(&mut self, saved: Option<SavedTime>) {
        if let Side::Server(call) = &mut self.side {
            call.saved = saved;
        }
    }

    /// Ends the span, and records and logs the call.
    pub(super) fn end(mut self, reason: EndReason) {
        self.record(reason);
    }

    fn record(&mut self, reason: EndReason) {
        self.ended = true;
        let kind = if matches!(self.side, Side::Server(_)) { SpanKind::Server } else { SpanKind::Client };
        reason.record(kind, &self.span);
        // It ends now, and not when it was left last: a client's reply is read outside of its span.
        end_now(&self.span);
        match &self.side {
            Side::Server(call) => {
                let took = call.started.elapsed();
                if let Some(duration) = &call.duration {
                    duration.record(&call.method, took, reason.code());
                }
                call.log(reason, took, &self.span);
            }
            Side::Client(Some(ClientCall { method, started, duration })) => {
                duration.record(method, started.elapsed(), reason.code());
            }
            Side::Client(None) => {}
        }
    }
}

impl Drop for SpanGuard {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        // A client whose own timer fires resets the call, often a moment before this process notices the same deadline.
        // That is an expired deadline, not a cancellation.
        let at_deadline = matches!(&self.side, Side::Server(call) if call.is_due());
        self.record(if at_deadline { EndReason::Status(Code::DeadlineExceeded) } else { EndReason::Dropped });
    }
}

// === impl ServerCall ===

impl ServerCall {
    fn log(&self, reason: EndReason, took: Duration, span: &Span) {
        if !self.lines.includes(reason, self.is_due()) {
            return;
        }
        let (method, code) = (self.method.original(), code_name(reason.code()));
        let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let saved_ms = self.saved.as_ref().and_then(SavedTime::milliseconds);
        match reason {
            EndReason::Dropped => {
                tracing::info!(parent: span, method, code, duration_ms, "request cancelled by its caller");
            }
            EndReason::Status(_) => {
                tracing::info!(parent: span, method, code, duration_ms, saved_ms, "request finished");
            }
        }
    }

    /// Returns whether the caller's own deadline has passed.
    fn is_due(&self) -> bool {
        self.client_timeout.is_some_and(|timeout| self.received.elapsed() + tolerance(timeout) >= timeout)
    }
}

/// How much earlier than the deadline a reset by the caller may arrive: a request spends part of its time on the
/// network and in queues before this process starts its clock.
fn tolerance(client_timeout: Duration) -> Duration {
    client_timeout / 10 + Duration::from_millis(10)
}

#[cfg(test)]
mod tests {
    use http::Uri;

    use super::{super::method::KnownMethods, *};

    #[tokio::test(start_paused = true)]
    async fn a_callers_deadline_counts_from_the_headers() {
        let received = tokio::time::Instant::now();
        // The message arrives later, and only then the request is traced.
        tokio::time::advance(Duration::from_secs(1)).await;
        let is_due = |timeout| {
            let (method, lines) = (KnownMethods::default().method(&Uri::from_static("/a.B/C")), Arc::default());
            let client_timeout = Some(Duration::from_secs(timeout));
            let started = Instant::now();
            ServerCall { method, started, received, client_timeout, duration: None, lines, saved: None }.is_due()
        };
        assert!(is_due(1) && !is_due(2));
    }
}
