//! Where the gateway is, and connections to it.

use std::{error::Error, fmt, str::FromStr, time::Duration};

use http::Uri;
use rpc_layers::source;
use tonic::transport::{Channel, Endpoint};

use crate::{gateway_client::gateway_check, terminal::program};

/// The address of a gateway that `fanout up` starts with its default port.
pub const DEFAULT: &str = "http://127.0.0.1:50051";

/// Longer than any successful connection takes, shorter than a person waits.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Flow-control windows for replies that have arrived and are not read yet. h2 closes a connection, with every request
/// on it, if many small frames stay unread; how many it allows depends on these windows.
const CONNECTION_WINDOW: u32 = 64 << 20;
const STREAM_WINDOW: u32 = 1 << 20;

/// How many reset streams h2 remembers. A frame for a stream that it has forgotten is an error to h2, and by default
/// 1,024 of those close the connection, with every request on it.
const MAX_RESET_STREAMS: usize = 10_000;

/// The address of a gateway: `http`, host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayAddress(Uri);

/// There is no gateway at the address.
#[derive(Debug, thiserror::Error)]
#[error("no gateway at {address} ({reason}): start one with `{} up`, or name another with --gateway", program::name())]
pub struct Unreachable {
    address: String,
    reason: String,
}

// === impl GatewayAddress ===

impl GatewayAddress {
    /// Opens a connection, and checks that it leads to a gateway.
    ///
    /// # Errors
    ///
    /// Returns an error if nothing answers at the address, or something that is not a gateway.
    pub async fn connect_checked(&self) -> Result<Channel, Unreachable> {
        let channel = self.connect().await?;
        gateway_check::check(channel.clone()).await.map_err(|error| self.unreachable(error.to_string()))?;
        Ok(channel)
    }

    /// Opens a connection.
    ///
    /// # Errors
    ///
    /// Returns an error if nothing answers at the address.
    pub async fn connect(&self) -> Result<Channel, Unreachable> {
        Endpoint::from(self.0.clone())
            .tcp_nodelay(true)
            .connect_timeout(CONNECT_TIMEOUT)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .initial_stream_window_size(STREAM_WINDOW)
            .http2_max_concurrent_reset_streams(MAX_RESET_STREAMS)
            .http2_max_local_error_reset_streams(None)
            .connect()
            .await
            .map_err(|error| self.unreachable(innermost(&error)))
    }

    fn unreachable(&self, reason: String) -> Unreachable {
        Unreachable { address: self.to_string(), reason }
    }
}

impl FromStr for GatewayAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const FORM: &str = "expected http://HOST:PORT, HOST:PORT or a PORT of this machine, such as 50051";
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            let port = text.parse::<u16>().ok().filter(|port| *port > 0).ok_or("expected a port from 1 to 65535")?;
            return format!("http://127.0.0.1:{port}").parse().map(Self).map_err(|_| FORM.to_owned());
        }
        // A host and port without a scheme can only mean http.
        let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let uri: Uri = whole.parse().map_err(|_| FORM)?;
        match (uri.scheme_str(), uri.path()) {
            (Some("http"), "/" | "") if uri.query().is_none() => Ok(Self(uri)),
            (Some("https"), _) => Err(format!("TLS is not supported: {FORM}")),
            _ => Err(FORM.to_owned()),
        }
    }
}

impl fmt::Display for GatewayAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.to_string().trim_end_matches('/'))
    }
}

/// Returns the message at the end of the source chain, which is the operating system's.
fn innermost(error: &(dyn Error + 'static)) -> String {
    // "Connection refused (os error 111)": the number is of no use here.
    let text = source::root(error).to_string();
    text.split_once(" (os error").map_or(text.as_str(), |(words, _)| words).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_http_with_a_host() {
        for (text, shown) in [
            ("http://127.0.0.1:50051", "http://127.0.0.1:50051"),
            ("http://gateway:50051/", "http://gateway:50051"),
            ("localhost:50051", "http://localhost:50051"),
            ("50051", "http://127.0.0.1:50051"),
            ("http://[::1]:50051", "http://[::1]:50051"),
        ] {
            assert_eq!(text.parse::<GatewayAddress>().unwrap().to_string(), shown);
        }
        for wrong in ["0", "65536", "99999999999999999999"] {
            assert_eq!(wrong.parse::<GatewayAddress>().unwrap_err(), "expected a port from 1 to 65535", "{wrong}");
        }
        for wrong in ["", "http://", "ftp://x", "https://x:1", "http://x/path", "http://x?q", "a b"] {
            assert!(wrong.parse::<GatewayAddress>().unwrap_err().contains("http://HOST:PORT"), "{wrong}");
        }
    }
}
