//! Where a backend can be reached: URLs, checked.

use std::{convert::Infallible, fmt, net::Ipv6Addr, num::NonZeroU16, str::FromStr};

use grpc_tls::ServerName;
use http::{Uri, uri::Authority};

use crate::excerpt::excerpt;

/// Shown with every target that cannot be used.
const ALLOWED: &str = "expected http://HOST:PORT or https://HOST:PORT, such as http://127.0.0.1:50052";

/// Where a backend can be reached: `http://` or, with TLS, `https://`, a host, and a port unless it is 80 or 443. The host
/// may be a name that stands for many endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    uri: Uri,
    /// What the certificates of the endpoints are verified against. `None` without TLS.
    server_name: Option<ServerName<'static>>,
}

/// A target that no channel can connect to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTarget {
    /// The text is not a URI.
    #[error("{target:?} is not a URI: {error}: {ALLOWED}")]
    NotAUri {
        /// What was given.
        target: String,
        /// Why it cannot be parsed.
        error: String,
    },
    /// The host is neither an address nor a name that a certificate could be for.
    #[error("{0:?} has a host that no certificate can be for: {ALLOWED}")]
    NoServerName(String),
    /// The scheme is neither `http` nor `https`, or the host is missing.
    #[error("{0:?} has no http:// or https:// with a host: {ALLOWED}")]
    NotHttp(String),
    /// The host is in brackets, but is no IPv6 address; or there is no number of a port after the colon.
    #[error("{0:?} has no host that exists or no port from 1 to 65535: {ALLOWED}")]
    InvalidAuthority(String),
    /// There is a user name, which HTTP/2 has no place for.
    #[error("{0:?} has a user name: {ALLOWED}")]
    HasUser(String),
    /// There is a path, a query or a fragment, which gRPC's method paths would replace.
    #[error("{0:?} has a path: {ALLOWED}")]
    HasPath(String),
    /// No target was given.
    #[error("no target is given: at least one URL is needed, such as http://127.0.0.1:50052")]
    None,
}

// === impl Target ===

impl Target {
    /// Returns the scheme and the authority as a URI.
    pub(crate) fn origin(&self) -> &Uri {
        &self.uri
    }

    /// Returns the host; an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        without_brackets(self.uri.host().unwrap_or_default())
    }

    /// Returns the port: 80, or with TLS 443, if the URL names none.
    pub fn port(&self) -> u16 {
        self.uri.port_u16().unwrap_or(if self.is_https() { 443 } else { 80 })
    }

    /// Returns whether calls are encrypted.
    pub fn is_https(&self) -> bool {
        self.server_name.is_some()
    }

    /// Returns what the certificates of the endpoints are verified against, or `None` without TLS.
    pub(crate) fn server_name(&self) -> Option<&ServerName<'static>> {
        self.server_name.as_ref()
    }
}

fn without_brackets(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

impl FromStr for Target {
    type Err = InvalidTarget;

    fn from_str(target: &str) -> Result<Self, InvalidTarget> {
        let given = || excerpt(target);
        let not_a_uri =
            |error: http::uri::InvalidUri| InvalidTarget::NotAUri { target: given(), error: error.to_string() };
        let uri = target.parse::<Uri>().map_err(not_a_uri)?;
        let is_https = match (uri.scheme_str(), uri.host()) {
            (Some("http"), Some(host)) if !host.is_empty() => false,
            (Some("https"), Some(host)) if !host.is_empty() => true,
            _ => return Err(InvalidTarget::NotHttp(given())),
        };
        // `Uri` leaves out a fragment.
        if uri.path_and_query().is_some_and(|path| path != "/") || target.contains('#') {
            return Err(InvalidTarget::HasPath(given()));
        }
        match uri.authority() {
            Some(authority) if authority.as_str().contains('@') => return Err(InvalidTarget::HasUser(given())),
            Some(authority) if is_host_and_port(authority) => {}
            _ => return Err(InvalidTarget::InvalidAuthority(given())),
        }
        let server_name = if is_https {
            let name = without_brackets(uri.host().unwrap_or_default()).to_owned();
            Some(ServerName::try_from(name).map_err(|_| InvalidTarget::NoServerName(given()))?)
        } else {
            None
        };
        Ok(Self { uri, server_name })
    }
}

/// Returns whether there is nothing that [`Uri`] accepts and no connection can be made to.
fn is_host_and_port(authority: &Authority) -> bool {
    let host = authority.host();
    let is_host = match host.strip_prefix('[') {
        Some(address) => address.strip_suffix(']').is_some_and(|address| address.parse::<Ipv6Addr>().is_ok()),
        None => !host.contains(['[', ']']),
    };
    // `Uri` has no port if its number is too large.
    let is_port = match authority.as_str().strip_prefix(host) {
        Some("") => true,
        Some(port) => port.strip_prefix(':').is_some_and(|port| port.parse::<NonZeroU16>().is_ok()),
        None => false,
    };
    is_host && is_port
}

impl TryFrom<&str> for Target {
    type Error = InvalidTarget;

    fn try_from(target: &str) -> Result<Self, InvalidTarget> {
        target.parse()
    }
}

impl TryFrom<String> for Target {
    type Error = InvalidTarget;

    fn try_from(target: String) -> Result<Self, InvalidTarget> {
        target.parse()
    }
}

impl fmt::Display for Target {
    /// Writes the URL as it was given, without a slash at its end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.uri.to_string().trim_end_matches('/'))
    }
}

// === impl InvalidTarget ===

impl From<Infallible> for InvalidTarget {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_names_a_host_and_nothing_beyond() {
        for good in [
            "http://127.0.0.1:50052",
            "http://user-service:50052/",
            "http://[::1]:1",
            "http://users",
            "https://users:1",
        ] {
            assert_eq!(good.parse::<Target>().unwrap().to_string(), good.trim_end_matches('/'));
        }
        for (bad, named) in [
            ("", "expected http://"),
            ("127.0.0.1:50052", "expected http://"),
            ("ftp://users", "expected http://"),
            ("https://users./-", "path"),
            ("https://-users-:1", "certificate"),
            ("http://users/api", "path"),
            ("http://us ers", "expected http://"),
            ("http://users#:50052", "path"),
            ("http://ada@users:1", "user name"),
            ("http://users:65536", "no port from 1 to 65535"),
            ("http://users:0", "no port from 1 to 65535"),
            ("http://users:", "no port from 1 to 65535"),
            ("http://[users]:1", "no host"),
            ("http://2[]:1", "no host"),
        ] {
            let error = bad.parse::<Target>().unwrap_err().to_string();
            assert!(error.contains(named) && error.contains(&format!("{bad:?}")), "{error}");
        }
    }

    #[test]
    fn an_error_repeats_a_part_of_a_long_target() {
        let error = format!("http://{}/", "x".repeat(100_000)).parse::<Target>().unwrap_err().to_string();
        assert!(error.len() < 300, "{error}");
    }

    #[test]
    fn the_port_is_the_schemes_unless_it_is_given() {
        let parts = |target: &str| target.parse::<Target>().map(|target| (target.host().to_owned(), target.port()));
        assert_eq!(parts("http://users"), Ok(("users".to_owned(), 80)));
        assert_eq!(parts("https://users"), Ok(("users".to_owned(), 443)));
        assert_eq!(parts("http://[::1]:7"), Ok(("::1".to_owned(), 7)));
    }

    #[test]
    fn a_certificate_is_for_the_host() {
        let name = |target: &str| {
            let target = target.parse::<Target>().unwrap();
            target.server_name().map(|name| name.to_str().into_owned())
        };
        assert_eq!(name("https://users.example.org:1").as_deref(), Some("users.example.org"));
        assert_eq!(name("https://[::1]:1").as_deref(), Some("::1"));
        assert_eq!(name("http://users"), None);
    }
}
