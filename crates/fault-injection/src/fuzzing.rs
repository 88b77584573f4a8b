//! Private parts for `e2e/fuzz`: no part of the API.

use http::HeaderMap;

use crate::{Distribution, ErrorRate, InvalidBaggage, overrides::Overrides};

/// Returns what a request with these headers changes of a service's settings.
///
/// # Errors
///
/// Returns the error for baggage that the service rejects.
pub fn overrides(
    headers: &HeaderMap,
    service: &str,
) -> Result<(Option<Distribution>, Option<ErrorRate>), InvalidBaggage> {
    let Overrides { delay, error_rate } = Overrides::from_headers(headers, service)?;
    Ok((delay, error_rate))
}
