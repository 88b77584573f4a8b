//! Asks a replica for its health, for as long as it is connected (`grpc.health.v1`, `Watch`).

use bytes::Bytes;
use futures::{Stream, stream};
use http::{Request, Uri};
use prost::Message as _;
use tonic::{Code, Status};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus};

use crate::{
    error::lost,
    transport::connection::Connection,
    transport::framing::{HEADERS, Messages, check_response, uri},
};

const WATCH: &str = "/grpc.health.v1.Health/Watch";

/// Where a watch stands.
enum Watch {
    Begin(Connection, Uri),
    Open(Messages),
    /// The server has no such service: it serves while it is connected.
    Silent,
}

/// Whether the whole server serves, whenever that changes; ends when it says no more.
pub(crate) fn health(connection: Connection, origin: Uri) -> impl Stream<Item = bool> + Send {
    stream::unfold(Watch::Begin(connection, origin), |watch| async {
        let next = match watch {
            Watch::Begin(connection, origin) => match open(connection, &origin).await {
                Ok(messages) => said(messages).await,
                Err(status) => Err(status),
            },
            Watch::Open(messages) => said(messages).await,
            Watch::Silent => std::future::pending().await,
        };
        match next {
            Ok((serving, messages)) => Some((serving, Watch::Open(messages))),
            Err(status) if status.code() == Code::Unimplemented => Some((true, Watch::Silent)),
            Err(_) => None,
        }
    })
}

async fn open(mut connection: Connection, origin: &Uri) -> Result<Messages, Status> {
    let mut request = Request::new(Bytes::from(HealthCheckRequest::default().encode_to_vec()));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = uri(origin, WATCH);
    request.headers_mut().extend(HEADERS);
    let (head, stream) = connection.stream(request)?.await.map_err(lost)?.into_parts();
    check_response(head.status, &head.headers)?;
    match Status::from_header_map(&head.headers) {
        Some(status) => Err(status),
        None => Ok(Messages::new(stream)),
    }
}

async fn said(mut messages: Messages) -> Result<(bool, Messages), Status> {
    let message = messages.next().await?;
    let reply = HealthCheckResponse::decode(message).map_err(|error| Status::internal(error.to_string()))?;
    Ok((reply.status() == ServingStatus::Serving, messages))
}
