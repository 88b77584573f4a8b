//! Asks another server for its health.

use std::{net::SocketAddr, path::Path, time::Duration};

use grpc_tls::own_server;
use hyper_util::rt::TokioIo;
use rpc_layers::source;
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tower::{BoxError, service_fn};

/// The reason why a server is not healthy.
#[derive(Debug, thiserror::Error)]
pub enum Unhealthy {
    /// It cannot be reached.
    #[error("not reachable: {}", source::root(.0))]
    Unreachable(#[from] tonic::transport::Error),
    /// It answered with an error.
    #[error("{}", describe(.0))]
    Failed(#[from] Box<tonic::Status>),
    /// It reported another status than `SERVING`.
    #[error("{0}")]
    Status(&'static str),
}

/// Returns the code and the message of a status; or its cause, if it was made here.
fn describe(status: &tonic::Status) -> String {
    match std::error::Error::source(status) {
        Some(error) => source::root(error).to_string(),
        None => format!("{}: {}", status.code(), status.message()),
    }
}

/// Asks the server at `url` once for the health of its process. `timeout` bounds connecting and the call, each.
///
/// Cancel safe.
///
/// # Errors
///
/// Returns an error if the server cannot be reached in time, or its answer is anything but `SERVING`.
pub async fn check(url: &str, timeout: Duration) -> Result<(), Unhealthy> {
    let endpoint = Endpoint::from_shared(url.to_owned())?;
    ask(endpoint.connect_timeout(timeout).timeout(timeout).connect().await?).await
}

/// Asks the server of this machine that was started with this certificate and its key, as [`check`] does, with TLS. See
/// [`grpc_tls::own_server`] for what is verified.
///
/// Cancel safe.
///
/// # Errors
///
/// Returns an error if a file cannot be used, the server cannot be reached in time, or its answer is anything but
/// `SERVING`.
pub async fn check_own(address: SocketAddr, cert: &Path, key: &Path, timeout: Duration) -> Result<(), Unhealthy> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
    let files = (cert.to_owned(), key.to_owned());
    let connect = service_fn(move |_| {
        let (cert, key) = files.clone();
        async move {
            let stream = TcpStream::connect(address).await.map_err(BoxError::from)?;
            Ok::<_, BoxError>(TokioIo::new(own_server::connect(&cert, &key, stream).await?))
        }
    });
    ask(endpoint.connect_timeout(timeout).timeout(timeout).connect_with_connector(connect).await?).await
}

async fn ask(channel: Channel) -> Result<(), Unhealthy> {
    let reply = HealthClient::new(channel).check(HealthCheckRequest::default()).await.map_err(Box::new)?;
    match reply.into_inner().status() {
        ServingStatus::Serving => Ok(()),
        other => Err(Unhealthy::Status(other.as_str_name())),
    }
}
