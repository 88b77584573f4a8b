//! What a backend's stack carries: a unary call whose message is already encoded.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use fan_out::Attempts;
use rpc_layers::{CallContext, deadline::Deadline, trace::SpanSlot};

use crate::metrics::QueuedGuard;

/// A method of a backend, and whether calling it twice does what calling it once does.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Method {
    path: &'static str,
    idempotent: bool,
}

/// A unary call on its way to a backend.
///
/// Cloning it, as a retry or a hedge does, costs a few reference counts. It is small, because every layer keeps room for
/// one while the call is under way.
#[derive(Clone, Debug)]
pub(crate) struct UnaryCall {
    pub(crate) inner: Arc<CallInner>,
    /// Where the attempt's span goes when two of them race.
    pub(crate) span: Option<SpanSlot>,
    /// Counts the call as queued until it is dropped or taken out.
    pub(crate) waiting: QueuedGuard,
}

/// What all copies of a call have in common.
#[derive(Clone, Debug)]
pub(crate) struct CallInner {
    pub(crate) method: Method,
    /// The encoded request.
    pub(crate) message: Bytes,
    /// The deadline and the baggage of the request that this call is made for.
    pub(crate) ctx: CallContext,
    /// Counts what is sent, for the report.
    pub(crate) attempts: Attempts,
}

/// The encoded reply of any method: who made the call knows its type.
pub(crate) type AnyReply = Bytes;

// === impl Method ===

impl Method {
    /// A method that changes nothing, or nothing more the second time. Its path has a slash before it.
    pub const fn idempotent(path: &'static str) -> Self {
        Self { path, idempotent: true }
    }

    /// The method as reports and spans name it.
    pub fn name(self) -> &'static str {
        self.path.trim_start_matches('/')
    }

    pub(crate) fn path(self) -> &'static str {
        self.path
    }

    pub(crate) fn is_idempotent(self) -> bool {
        self.idempotent
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

// === impl UnaryCall ===

impl UnaryCall {
    pub(crate) fn new(method: Method, message: Bytes, ctx: CallContext, attempts: Attempts) -> Self {
        let inner = Arc::new(CallInner { method, message, ctx, attempts });
        Self { inner, span: None, waiting: QueuedGuard::default() }
    }

    /// The same call with another deadline.
    pub(crate) fn until(mut self, deadline: Deadline) -> Self {
        Arc::make_mut(&mut self.inner).ctx.deadline = Some(deadline);
        self
    }
}

#[cfg(test)]
impl UnaryCall {
    /// A call that may be retried, for the layers' tests.
    pub(crate) fn example() -> Self {
        Self::of(Method::idempotent("/example.v1.Example/Get"), b"\x08\x01")
    }

    /// One with this message.
    pub(crate) fn with_message(message: &'static [u8]) -> Self {
        Self::of(Self::example().inner.method, message)
    }

    /// A call that must not reach a backend twice.
    pub(crate) fn non_idempotent() -> Self {
        Self::of(Method { path: "/example.v1.Example/Create", idempotent: false }, b"\x08\x01")
    }

    fn of(method: Method, message: &'static [u8]) -> Self {
        Self::new(method, Bytes::from_static(message), CallContext::default(), Attempts::default())
    }
}
