//! What a backend's stack carries: a unary call whose message is already encoded.

use std::fmt;

use bytes::Bytes;
use fan_out::Attempts;
use fanout_proto::Encoded;
use service_kit::{HandedOn, trace::SpanSlot};

use super::meters::Waiting;

/// A method of a backend, and whether calling it twice does what calling it once does.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Method {
    path: &'static str,
    idempotent: bool,
}

/// A unary call on its way to a backend.
///
/// Cloning it, as a retry or a hedge does, costs a few reference counts.
#[derive(Clone, Debug)]
pub(crate) struct UnaryCall {
    pub(super) method: Method,
    /// The encoded request.
    pub(super) message: Bytes,
    /// The deadline and the baggage of the request that this call is made for.
    pub(super) handed_on: HandedOn,
    /// Counts what is sent, for the report.
    pub(super) attempts: Attempts,
    /// Where the attempt's span goes when two of them race.
    pub(super) span: Option<SpanSlot>,
    /// Counts the call as queued until it is dropped or taken out.
    pub(super) waiting: Waiting,
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
    pub(super) fn new(method: Method, message: Bytes, handed_on: HandedOn, attempts: Attempts) -> Self {
        Self { method, message, handed_on, attempts, span: None, waiting: Waiting::default() }
    }
}

#[cfg(test)]
impl UnaryCall {
    /// A call that may be retried, for the layers' tests.
    pub(super) fn example() -> Self {
        let method = Method::idempotent("/example.v1.Example/Get");
        Self::new(method, Bytes::from_static(b"\x08\x01"), HandedOn::default(), Attempts::default())
    }

    /// A call that must not reach a backend twice.
    pub(super) fn once_only() -> Self {
        let method = Method { path: "/example.v1.Example/Create", idempotent: false };
        Self { method, ..Self::example() }
    }
}
