//! What a channel's stack carries: one RPC on its way to a backend.

use std::sync::Arc;

use fan_out::Attempts;
use http::HeaderMap;
use rpc_layers::{CallContext, deadline::Deadline, trace::SpanSlot};

use crate::{endpoints::endpoint::Marks, method::Method, metrics::QueuedGuard, request_body::RequestBody};

/// One RPC on its way to a backend.
///
/// Cloning it, as a retry or a hedge does, costs a few reference counts. It is small, because every layer keeps room for
/// one while the call is under way.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) inner: Arc<CallInner>,
    /// Where the attempt's span goes when several of them race.
    pub(crate) span: Option<SpanSlot>,
    /// Counts the call as queued until it is dropped or taken out.
    pub(crate) queued: QueuedGuard,
}

/// What all clones of a call share.
#[derive(Clone, Debug)]
pub(crate) struct CallInner {
    pub(crate) method: Method,
    pub(crate) request: RequestBody,
    /// The caller's headers, if it sent any.
    pub(crate) metadata: Option<Box<HeaderMap>>,
    pub(crate) wanted: Wanted,
    /// The deadline, baggage and trace parent of the request that this call is made for.
    pub(crate) ctx: CallContext,
    /// Counts what is sent, for the caller's report.
    pub(crate) attempts: Attempts,
    /// The endpoints that it was sent to.
    pub(crate) tried: Marks,
}

/// What the caller wants to have of the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The one message, checked.
    Message,
    /// The whole reply with its headers and trailers.
    Whole,
    /// The headers as soon as they are there, and the body as it comes.
    Stream,
}

// === impl Call ===

impl Call {
    pub(crate) fn new(inner: CallInner) -> Self {
        Self { inner: Arc::new(inner), span: None, queued: QueuedGuard::default() }
    }

    /// Returns the same call with another deadline.
    pub(crate) fn with_deadline(mut self, deadline: Deadline) -> Self {
        Arc::make_mut(&mut self.inner).ctx.deadline = Some(deadline);
        self
    }

    /// Returns whether calling twice does what calling once does.
    pub(crate) fn is_idempotent(&self) -> bool {
        self.inner.method.is_idempotent()
    }

    /// Returns whether the reply is one message that ends the call.
    pub(crate) fn is_unary(&self) -> bool {
        self.inner.wanted != Wanted::Stream && matches!(self.inner.request, RequestBody::Whole(_))
    }
}

#[cfg(any(test, feature = "benches"))]
impl Call {
    /// Returns a unary call of an idempotent method, for the layers' tests and benches.
    pub(crate) fn example() -> Self {
        Self::of(Method::example(true), b"\0\0\0\0\x02\x08\x01")
    }

    /// Returns a call of this method.
    pub(crate) fn of(method: Method, message: &'static [u8]) -> Self {
        Self::new(CallInner {
            method,
            request: RequestBody::Whole(bytes::Bytes::from_static(message)),
            metadata: None,
            wanted: Wanted::Message,
            ctx: CallContext::default(),
            attempts: Attempts::default(),
            tried: Marks::default(),
        })
    }
}

#[cfg(test)]
impl Call {
    /// Returns one with this message.
    pub(crate) fn with_message(message: &'static [u8]) -> Self {
        Self::of(Method::example(true), message)
    }

    /// Returns a unary call that must not reach a backend twice.
    pub(crate) fn non_idempotent() -> Self {
        Self::of(Method::example(false), b"\0\0\0\0\x02\x08\x01")
    }

    /// Returns a call whose messages come one by one, and that wants its reply so.
    pub(crate) fn stream() -> Self {
        let rest = tonic::body::Body::empty();
        let request = RequestBody::stream(crate::request_body::RequestStream { head: None, rest });
        let mut call = Self::example();
        let inner = Arc::make_mut(&mut call.inner);
        (inner.request, inner.wanted) = (request, Wanted::Stream);
        call
    }
}
