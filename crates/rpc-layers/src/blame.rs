//! A mark on failures that the caller itself asked for.
//!
//! A server sets it on a failed reply, next to the status. A client that judges servers by their failures, such as a
//! circuit breaker, ignores replies with it: a caller that asks for faults must not make the server look ill to others.

use http::HeaderMap;
use tonic::metadata::{MetadataMap, MetadataValue};

/// The header or trailer of a failed reply that says whose making the failure is.
const BLAME: &str = "fanout-blame";

/// The value for the caller.
const CALLER: &str = "caller";

/// Marks a failure as its caller's making.
pub fn mark_callers(metadata: &mut MetadataMap) {
    metadata.insert(BLAME, MetadataValue::from_static(CALLER));
}

/// Returns whether a failure is its caller's making.
pub fn is_callers(headers: &HeaderMap) -> bool {
    headers.get(BLAME).is_some_and(|value| value == CALLER)
}
