//! Where the gateway is.

use std::{fmt, net::IpAddr, str::FromStr};

use http::{Uri, uri::Authority};

/// The address of a gateway that `fanout up` starts with its default port.
pub const DEFAULT: &str = "http://127.0.0.1:50051";

/// The address of a gateway: `http` or, with TLS, `https`, host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayAddress(Uri);

// === impl GatewayAddress ===

impl GatewayAddress {
    /// Returns the scheme and the authority as a URI.
    pub(super) fn uri(&self) -> &Uri {
        &self.0
    }

    /// Returns whether connections are encrypted.
    pub fn is_https(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }

    /// Returns the host; an IPv6 address without its brackets.
    pub(super) fn host(&self) -> &str {
        self.0.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
    }

    /// Returns whether the gateway is on this machine, by its address or the name `localhost`.
    pub(super) fn is_loopback(&self) -> bool {
        self.host().eq_ignore_ascii_case("localhost")
            || self.host().parse().is_ok_and(|host: IpAddr| host.is_loopback())
    }

    /// Returns the port: 80, or with TLS 443, if the URL names none.
    pub(super) fn port(&self) -> u16 {
        self.0.port_u16().unwrap_or(if self.is_https() { 443 } else { 80 })
    }

    /// Returns the host and the port as the URL has them.
    pub(crate) fn authority(&self) -> &str {
        self.0.authority().map_or("", Authority::as_str)
    }
}

impl FromStr for GatewayAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const FORM: &str =
            "expected http://HOST:PORT, https://HOST:PORT, HOST:PORT or a PORT of this machine, such as 50051";
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            let port = text.parse::<u16>().ok().filter(|port| *port > 0).ok_or("expected a port from 1 to 65535")?;
            return format!("http://127.0.0.1:{port}").parse().map(Self).map_err(|_| FORM.to_owned());
        }
        // A host and port without a scheme can only mean http.
        let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let uri: Uri = whole.parse().map_err(|_| FORM)?;
        match (uri.scheme_str(), uri.path()) {
            // A user name has no place in HTTP/2, and a password would be printed with the address.
            (Some("http" | "https"), "/" | "") if uri.query().is_none() && !text.contains('@') => Ok(Self(uri)),
            _ => Err(FORM.to_owned()),
        }
    }
}

impl fmt::Display for GatewayAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.to_string().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_http_or_https_with_a_host() {
        for (text, shown) in [
            ("http://127.0.0.1:50051", "http://127.0.0.1:50051"),
            ("http://gateway:50051/", "http://gateway:50051"),
            ("localhost:50051", "http://localhost:50051"),
            ("50051", "http://127.0.0.1:50051"),
            ("http://[::1]:50051", "http://[::1]:50051"),
            ("https://gateway:50051/", "https://gateway:50051"),
        ] {
            assert_eq!(text.parse::<GatewayAddress>().unwrap().to_string(), shown);
        }
        for wrong in ["0", "65536", "99999999999999999999"] {
            assert_eq!(wrong.parse::<GatewayAddress>().unwrap_err(), "expected a port from 1 to 65535", "{wrong}");
        }
        for wrong in
            ["", "http://", "ftp://x", "https://x/path", "http://x/path", "http://x?q", "a b", "http://ada:s3cret@x:1"]
        {
            assert!(wrong.parse::<GatewayAddress>().unwrap_err().contains("http://HOST:PORT"), "{wrong}");
        }
    }

    #[test]
    fn the_parts_are_those_of_the_url_or_its_defaults() {
        let parts = |text: &str| {
            let address: GatewayAddress = text.parse().unwrap();
            (address.host().to_owned(), address.port(), address.is_https())
        };
        assert_eq!(parts("https://[::1]:1"), ("::1".to_owned(), 1, true));
        let is_loopback = |text: &str| text.parse::<GatewayAddress>().unwrap().is_loopback();
        assert!(["50051", "http://[::1]:1", "http://localhost:1", "127.9.9.9:1"].into_iter().all(is_loopback));
        assert!(!["http://10.0.0.1:1", "http://gateway:1", "http://localhost.example:1"].into_iter().any(is_loopback));
        assert_eq!([parts("https://x").1, parts("http://x").1], [443, 80]);
    }
}
