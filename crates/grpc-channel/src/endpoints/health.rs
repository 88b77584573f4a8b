//! Watches the health of an endpoint while it is connected (`grpc.health.v1`, `Watch`).

use futures::{Stream, stream};
use http::{HeaderMap, Uri, uri::PathAndQuery};
use prost::Message as _;
use tonic::{Code, Status};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus};

use crate::{
    error::lost,
    request_body::RequestBody,
    transport::{
        connection::Connection,
        framing::{Messages, check_response, frame},
        request::request,
    },
};

const WATCH: PathAndQuery = PathAndQuery::from_static("/grpc.health.v1.Health/Watch");

enum Watch {
    Start(Connection, Uri),
    Open(Messages),
    /// The server has no health service: it serves while it is connected.
    Unimplemented,
}

/// Returns a stream of whether the whole server serves, with an item for each change. Ends when the server ends it.
pub(crate) fn health(connection: Connection, origin: Uri) -> impl Stream<Item = bool> + Send {
    stream::unfold(Watch::Start(connection, origin), |watch| async {
        let next = match watch {
            Watch::Start(connection, origin) => match open(connection, &origin).await {
                Ok(messages) => next(messages).await,
                Err(status) => Err(status),
            },
            Watch::Open(messages) => next(messages).await,
            Watch::Unimplemented => std::future::pending().await,
        };
        match next {
            Ok((serving, messages)) => Some((serving, Watch::Open(messages))),
            Err(status) if status.code() == Code::Unimplemented => Some((true, Watch::Unimplemented)),
            Err(_) => None,
        }
    })
}

async fn open(mut connection: Connection, origin: &Uri) -> Result<Messages, Status> {
    let body = RequestBody::Whole(frame(&HealthCheckRequest::default()));
    let sent = connection.send(request(origin, &WATCH, HeaderMap::new(), body))?;
    let (head, stream) = sent.response.await.map_err(lost)?.into_parts();
    check_response(head.status, &head.headers)?;
    match Status::from_header_map(&head.headers) {
        Some(status) => Err(status),
        None => Ok(Messages::new(stream)),
    }
}

async fn next(mut messages: Messages) -> Result<(bool, Messages), Status> {
    let message = messages.next().await?;
    let reply = HealthCheckResponse::decode(message).map_err(|error| Status::internal(error.to_string()))?;
    Ok((reply.status() == ServingStatus::Serving, messages))
}
