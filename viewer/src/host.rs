//! Names of hosts.

use http::Uri;

/// Returns the host without its port and brackets, in lower case.
pub(crate) fn host_name(host: &str) -> Option<String> {
    let uri: Uri = format!("http://{host}/").parse().ok()?;
    // A user before an @ is no part of a host.
    let is_plain = uri.authority()?.as_str() == host && !host.contains('@');
    is_plain.then(|| uri.host().unwrap_or_default().trim_matches(['[', ']']).to_ascii_lowercase())
}

/// Returns whether a name is one of this machine for itself.
pub(crate) fn is_loopback(name: &str) -> bool {
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Returns whether a page of this origin is one of this machine.
pub(crate) fn is_loopback_origin(origin: &str) -> bool {
    let host = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    host.and_then(host_name).is_some_and(|name| is_loopback(&name))
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

    #[test]
    fn an_origin_is_a_scheme_and_a_host() {
        for origin in ["http://localhost:3000", "https://127.0.0.1", "http://[::1]:5173"] {
            assert!(is_loopback_origin(origin), "{origin}");
        }
        for origin in ["null", "", "localhost:3000", "file://", "http://evil.example", "http://localhost@evil.example"]
        {
            assert!(!is_loopback_origin(origin), "{origin}");
        }
    }
}
