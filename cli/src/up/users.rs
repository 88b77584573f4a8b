//! The users that the database has: those to try.

use std::{net::SocketAddr, time::Duration};

use fanout_proto::user::v1::{ListUsersRequest, user_service_client::UserServiceClient};
use grpc_tls::own_server;
use hyper_util::rt::TokioIo;
use service_kit::BoxError;
use tokio::net::TcpStream;
use tonic::{Request, metadata::MetadataValue, transport::Endpoint};
use tower::service_fn;

use crate::up::{USER_SERVICE, tls::Tls};

/// How many users are named.
const USERS: i32 = 12;

/// How long the user service may take to list them. They are not worth a longer wait.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Turns the simulated latency and faults off.
const NO_DELAY: &str = "user.delay=0,user.error-rate=0";

/// Returns the ids of some users, or none if the user service does not list them in time.
pub(super) async fn list(user_service: SocketAddr, tls: Option<&Tls>) -> Vec<String> {
    let listed = tokio::time::timeout(TIMEOUT, try_list(user_service, tls)).await;
    listed.ok().and_then(Result::ok).unwrap_or_default()
}

async fn try_list(user_service: SocketAddr, tls: Option<&Tls>) -> Result<Vec<String>, BoxError> {
    let endpoint = Endpoint::from_shared(format!("http://{user_service}"))?;
    let channel = match tls.and_then(|tls| tls.files(USER_SERVICE)) {
        None => endpoint.connect().await?,
        Some((certificate, key)) => {
            let files = (certificate.clone(), key.clone());
            let connect = service_fn(move |_| {
                let (certificate, key) = files.clone();
                async move {
                    let stream = TcpStream::connect(user_service).await?;
                    Ok::<_, BoxError>(TokioIo::new(own_server::connect(&certificate, &key, stream).await?))
                }
            });
            endpoint.connect_with_connector(connect).await?
        }
    };
    let mut client = UserServiceClient::new(channel);
    let mut request = Request::new(ListUsersRequest { page_size: USERS, page_token: String::new() });
    request.metadata_mut().insert("baggage", MetadataValue::from_static(NO_DELAY));
    let users = client.list_users(request).await?.into_inner().users;
    Ok(users.into_iter().map(|user| user.id).collect())
}
