//! Asking a server for its health, as containers without a shell and gateways do.

use std::time::Duration;

use tonic::transport::Endpoint;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

/// Why a server does not count as healthy.
#[derive(Debug, thiserror::Error)]
pub enum Unhealthy {
    /// It cannot be reached.
    #[error("not reachable: {}", innermost(.0))]
    Unreachable(#[from] tonic::transport::Error),
    /// It answered with an error.
    #[error("{}: {}", .0.code(), .0.message())]
    Failed(#[from] Box<tonic::Status>),
    /// It says so itself.
    #[error("{0}")]
    Status(&'static str),
}

/// The words of the operating system, which tonic wraps in its own.
fn innermost(mut error: &(dyn std::error::Error + 'static)) -> String {
    while let Some(cause) = error.source() {
        error = cause;
    }
    error.to_string()
}

/// Asks once for the health of the whole server at this URL.
///
/// # Errors
///
/// Where it cannot be reached within `timeout`, or answers with anything but `SERVING`.
pub async fn check(url: &str, timeout: Duration) -> Result<(), Unhealthy> {
    let endpoint = Endpoint::from_shared(url.to_owned())?;
    let channel = endpoint.connect_timeout(timeout).timeout(timeout).connect().await?;
    let reply = HealthClient::new(channel).check(HealthCheckRequest::default()).await.map_err(Box::new)?;
    match reply.into_inner().status() {
        ServingStatus::Serving => Ok(()),
        other => Err(Unhealthy::Status(other.as_str_name())),
    }
}
