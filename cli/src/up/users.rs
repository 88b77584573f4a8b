//! The users that the database has: those to try.

use std::{net::SocketAddr, time::Duration};

use fanout_proto::user::v1::{ListUsersRequest, user_service_client::UserServiceClient};
use service_kit::BoxError;
use tonic::{Request, metadata::MetadataValue, transport::Endpoint};

/// How many users are named.
const USERS: i32 = 12;

/// How long the user service may take to list them. They are not worth a longer wait.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Turns the simulated latency and faults off.
const NO_DELAY: &str = "user.delay=0,user.error-rate=0";

/// Returns the ids of some users, or none if the user service does not list them in time.
pub(super) async fn list(user_service: SocketAddr) -> Vec<String> {
    let listed = tokio::time::timeout(TIMEOUT, try_list(user_service)).await;
    listed.ok().and_then(Result::ok).unwrap_or_default()
}

async fn try_list(user_service: SocketAddr) -> Result<Vec<String>, BoxError> {
    let endpoint = Endpoint::from_shared(format!("http://{user_service}"))?;
    let mut client = UserServiceClient::new(endpoint.connect().await?);
    let mut request = Request::new(ListUsersRequest { page_size: USERS, page_token: String::new() });
    request.metadata_mut().insert("baggage", MetadataValue::from_static(NO_DELAY));
    let users = client.list_users(request).await?.into_inner().users;
    Ok(users.into_iter().map(|user| user.id).collect())
}
