//! What a backend's stack carries: a unary call whose message is already encoded.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use fan_out::Attempts;
use fanout_proto::Encoded;
use rpc_layers::{CallContext, deadline::Deadline, trace::SpanSlot};

use super::meters::Waiting;

/// A method of a backend, and whether calling it twice does what calling it once does.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Method {
    path: &'static str,
    idempotent: bool,
}

/// A unary call on its way to a backend.
///
/// Cloning it, as a retry or a hedge does, costs a few reference counts. It is small, because every layer keeps room for
/// one while the call is under way.
#[derive(Clone, Debug)]
pub(crate) struct UnaryCall {
    pub(super) asked: Arc<Asked>,
    /// Where the attempt's span goes when two of them race.
    pub(super) span: Option<SpanSlot>,
    /// Counts the call as queued until it is dropped or taken out.
    pub(super) waiting: Waiting,
}

/// What all copies of a call have in common.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    /// The encoded request.
    pub(super) message: Bytes,
    /// The deadline and the baggage of the request that this call is made for.
    pub(super) handed_on: CallContext,
    /// Counts what is sent, for the report.
    pub(super) attempts: Attempts,
}

/// The encoded reply of any method: who made the call knows its type.
pub(crate) type AnyReply = Encoded<()>;

// === impl Method ===

impl Method {
    /// A method that changes nothing, or nothing more the second time. Its path has a slash before it.
    pub(crate) const fn idempotent(path: &'static str) -> Self {
        Self { path, idempotent: true }
    }

    /// The method as reports and spans name it.
    pub(crate) fn name(self) -> &'static str {
        self.path.trim_start_matches('/')
    }

    pub(super) fn path(self) -> &'static str {
        self.path
    }

    pub(super) fn is_idempotent(self) -> bool {
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
    pub(super) fn new(method: Method, message: Bytes, handed_on: CallContext, attempts: Attempts) -> Self {
        let asked = Arc::new(Asked { method, message, handed_on, attempts });
        Self { asked, span: None, waiting: Waiting::default() }
    }

    /// The same call with another deadline.
    pub(super) fn until(mut self, deadline: Deadline) -> Self {
        Arc::make_mut(&mut self.asked).handed_on.deadline = Some(deadline);
        self
    }
}

#[cfg(test)]
impl UnaryCall {
    /// A call that may be retried, for the layers' tests.
    pub(super) fn example() -> Self {
        Self::of(Method::idempotent("/example.v1.Example/Get"), b"\x08\x01")
    }

    /// One with this message.
    pub(super) fn saying(message: &'static [u8]) -> Self {
        Self::of(Self::example().asked.method, message)
    }

    /// A call that must not reach a backend twice.
    pub(super) fn once_only() -> Self {
        Self::of(Method { path: "/example.v1.Example/Create", idempotent: false }, b"\x08\x01")
    }

    fn of(method: Method, message: &'static [u8]) -> Self {
        Self::new(method, Bytes::from_static(message), CallContext::default(), Attempts::default())
    }
}
