//! What those who judge calls implement.

use crate::error::Failure;

/// Learns how a call ended. If it is dropped before it was told, the caller gave the call up.
pub(crate) trait Observer: Send {
    /// The call ended so.
    fn ended(&mut self, result: Result<(), &Failure>);
}
