//! Which requests come from a page of ours.
//!
//! Any page that a person opens can send requests to this machine. A page of another site that has made its own name
//! lead here ("DNS rebinding") is told by the Host header; one that posts by the Origin header. Neither can be set by a
//! page.

use http::{
    HeaderMap, Method, Request, StatusCode,
    header::{HOST, HeaderName, ORIGIN},
};

use crate::{
    api::{Context, respond::ApiError},
    host::{host_name, is_loopback},
};

/// Refuses requests that come from elsewhere.
pub(super) fn check<B>(request: &Request<B>, context: &Context) -> Result<(), ApiError> {
    let header = |name: HeaderName, headers: &HeaderMap| {
        headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let host = header(HOST, request.headers())
        .or_else(|| request.uri().authority().map(ToString::to_string))
        .unwrap_or_default();
    let name = host_name(&host).unwrap_or_default();
    let own = context.page.ip().to_string();
    if !is_loopback(&name) && name != own && !context.options.hosts.contains(&name) {
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            format!("the host '{host}' is not one of this viewer: expected localhost, 127.0.0.1 or a name of --host"),
        ));
    }
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let origin = header(ORIGIN, request.headers());
    if let Some(origin) = origin.filter(|_| !is_read)
        && origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")) != Some(host.as_str())
    {
        return Err(ApiError::new(StatusCode::FORBIDDEN, format!("a page of {origin} may not do this")));
    }
    Ok(())
}
