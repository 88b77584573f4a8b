//! Connections to the gateway.

use std::{
    error::Error,
    sync::{Arc, OnceLock},
    time::Duration,
};

use grpc_tls::{ClientTls, ServerName};
use http::Uri;
use hyper_util::rt::TokioIo;
use rpc_layers::source;
use service_kit::BoxError;
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use crate::{
    gateway_client::{
        address::GatewayAddress,
        gateway_check,
        observed_stream::ObservedStream,
        request::RequestOptions,
        tls::{BadTlsFile, TlsArgs},
        tls_problem::TlsProblem,
    },
    terminal::program,
};

/// Longer than any successful connection takes, shorter than a person waits.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Flow-control windows for replies that have arrived and are not read yet. h2 closes a connection, with every request
/// on it, if many small frames stay unread; how many it allows depends on these windows.
const CONNECTION_WINDOW: u32 = 64 << 20;
const STREAM_WINDOW: u32 = 1 << 20;

/// How many reset streams h2 remembers. A frame for a stream that it has forgotten is an error to h2, and by default
/// 1,024 of those close the connection, with every request on it.
const MAX_RESET_STREAMS: usize = 10_000;

/// Opens connections to a gateway.
#[derive(Clone, Debug)]
pub struct Connector {
    address: GatewayAddress,
    /// The TLS, and the name that the gateway's certificate has to have.
    tls: Option<(ClientTls, ServerName<'static>)>,
    /// Why the gateway has ended a connection, if that was because of TLS.
    problem: Arc<OnceLock<TlsProblem>>,
}

/// There is no gateway at the address.
#[derive(Debug, thiserror::Error)]
#[error("no gateway at {address} ({reason}): {remedy}")]
pub struct Unreachable {
    address: String,
    reason: String,
    remedy: String,
}

// === impl Connector ===

impl Connector {
    /// Returns the connector to the gateway that the flags name. Reads the files for TLS. Warns on standard error if
    /// credentials would be sent to another machine without it.
    ///
    /// # Errors
    ///
    /// Returns an error if a file for TLS cannot be used.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime.
    pub fn new(options: &RequestOptions) -> Result<Self, BadTlsFile> {
        let RequestOptions { gateway, tls, .. } = options;
        if let Some(warning) = options.exposed_credentials() {
            eprintln!("{}: warning: {warning}", program::name());
        }
        let tls = gateway.is_https().then(|| Self::load(gateway, tls)).transpose()?;
        Ok(Self { address: gateway.clone(), tls, problem: Arc::default() })
    }

    fn load(gateway: &GatewayAddress, args: &TlsArgs) -> Result<(ClientTls, ServerName<'static>), BadTlsFile> {
        let of_url = || ServerName::try_from(gateway.host().to_owned());
        let name = args.tls_server_name.clone().map_or_else(of_url, Ok);
        let name = name.map_err(|_| BadTlsFile::no_name(gateway))?;
        Ok((args.load()?, name))
    }

    /// Opens a connection, and checks that it leads to a gateway.
    ///
    /// # Errors
    ///
    /// Returns an error if nothing answers at the address, or something that is not a gateway.
    pub async fn connect_checked(&self) -> Result<Channel, Unreachable> {
        let channel = self.connect().await?;
        let checked = gateway_check::check(channel.clone()).await;
        checked.map_err(|error| self.unreachable(&error, error.to_string()))?;
        Ok(channel)
    }

    /// Opens a connection.
    ///
    /// # Errors
    ///
    /// Returns an error if nothing answers at the address.
    pub async fn connect(&self) -> Result<Channel, Unreachable> {
        let uri = self.address.uri();
        let endpoint = Endpoint::from(without_tls(uri))
            .origin(uri.clone())
            .tcp_nodelay(true)
            .connect_timeout(CONNECT_TIMEOUT)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .initial_stream_window_size(STREAM_WINDOW)
            .http2_max_concurrent_reset_streams(MAX_RESET_STREAMS)
            .http2_max_local_error_reset_streams(None);
        let connected = match &self.tls {
            None => endpoint.connect().await,
            Some((tls, name)) => {
                let (tls, name, address) = (tls.clone(), name.clone(), self.address.clone());
                let problem = Arc::clone(&self.problem);
                let connect = service_fn(move |_| {
                    let (tls, name, address) = (tls.clone(), name.clone(), address.clone());
                    let problem = Arc::clone(&problem);
                    async move {
                        let stream = TcpStream::connect((address.host(), address.port())).await?;
                        stream.set_nodelay(true)?;
                        let inner = tls.connect(&name, stream).await?;
                        Ok::<_, BoxError>(TokioIo::new(ObservedStream { inner, problem }))
                    }
                });
                endpoint.connect_with_connector(connect).await
            }
        };
        connected.map_err(|error| self.unreachable(&error, innermost(&error)))
    }

    /// Returns the error for the user. `reason` is for what has nothing to do with TLS.
    fn unreachable(&self, error: &(dyn Error + 'static), reason: String) -> Unreachable {
        let problem = self.problem.get().cloned();
        let (reason, remedy) = match problem.or_else(|| TlsProblem::find(error, self.tls.is_some())) {
            Some(problem) => (problem.reason, problem.remedy),
            None => (reason, format!("start one with `{} up`, or name another with --gateway", program::name())),
        };
        Unreachable { address: self.address.to_string(), reason, remedy }
    }
}

/// Returns the URI for tonic's channel, which would otherwise make the handshake by itself.
fn without_tls(uri: &Uri) -> Uri {
    let mut parts = uri.clone().into_parts();
    parts.scheme = Some(http::uri::Scheme::HTTP);
    Uri::from_parts(parts).unwrap_or_else(|_| uri.clone())
}

/// Returns the message at the end of the source chain, which is the operating system's.
fn innermost(error: &(dyn Error + 'static)) -> String {
    // "Connection refused (os error 111)": the number is of no use here.
    let text = source::root(error).to_string();
    text.split_once(" (os error").map_or(text.as_str(), |(words, _)| words).to_lowercase()
}
