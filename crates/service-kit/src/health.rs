//! Asks another server for its health.

use std::time::Duration;

use rpc_layers::source;
use tonic::transport::Endpoint;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

/// The reason why a server is not healthy.
#[derive(Debug, thiserror::Error)]
pub enum Unhealthy {
    /// It cannot be reached.
    #[error("not reachable: {}", source::root(.0))]
    Unreachable(#[from] tonic::transport::Error),
    /// It answered with an error.
    #[error("{}: {}", .0.code(), .0.message())]
    Failed(#[from] Box<tonic::Status>),
    /// It reported another status than `SERVING`.
    #[error("{0}")]
    Status(&'static str),
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
    let channel = endpoint.connect_timeout(timeout).timeout(timeout).connect().await?;
    let reply = HealthClient::new(channel).check(HealthCheckRequest::default()).await.map_err(Box::new)?;
    match reply.into_inner().status() {
        ServingStatus::Serving => Ok(()),
        other => Err(Unhealthy::Status(other.as_str_name())),
    }
}
