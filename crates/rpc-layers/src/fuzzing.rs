//! Private parts for `e2e/fuzz`: no part of the API.

use std::time::Duration;

use http::{HeaderMap, HeaderValue};

use crate::{Baggage, deadline::encode_timeout};

/// Returns the header `grpc-timeout` of a call with this much time left.
pub fn encode_grpc_timeout(left: Duration) -> HeaderValue {
    encode_timeout(left)
}

/// Returns the headers of a call that passes this baggage on.
pub fn baggage_headers(baggage: &Baggage) -> HeaderMap {
    let mut headers = HeaderMap::new();
    baggage.insert_into(&mut headers);
    headers
}
