//! Which requests come from a page of ours.
//!
//! Any page that a person opens can send requests to this machine. A page of another site that has made its own name
//! lead here ("DNS rebinding") is told by the Host header; one that posts by the Origin header. Neither can be set by a
//! page.

use http::{
    HeaderMap, Method, Request, StatusCode, Uri,
    header::{HOST, HeaderName, ORIGIN},
};

use crate::api::{Context, respond::ApiError};

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

/// Returns the host without its port and brackets, in lower case.
fn host_name(host: &str) -> Option<String> {
    let uri: Uri = format!("http://{host}/").parse().ok()?;
    // A user before an @ is no part of a host.
    let is_plain = uri.authority()?.as_str() == host && !host.contains('@');
    is_plain.then(|| uri.host().unwrap_or_default().trim_matches(['[', ']']).to_ascii_lowercase())
}

fn is_loopback(name: &str) -> bool {
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_are_loopback() {
        for host in ["localhost", "LOCALHOST:8080", "127.0.0.1:8080", "127.9.9.9", "[::1]:8080", "a.localhost:1"] {
            assert!(is_loopback(&host_name(host).unwrap()), "{host}");
        }
        for host in
            ["", "evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "x@127.0.0.1", "8.8.8.8"]
        {
            assert!(!host_name(host).is_some_and(|name| is_loopback(&name)), "{host}");
        }
    }
}
