//! Watches the health of an endpoint while it is connected (`grpc.health.v1`, `Watch`).

use futures::{Stream, stream};
use http::{HeaderMap, Uri, uri::PathAndQuery};
use prost::Message as _;
use rpc_layers::source;
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

/// What is known of a server's health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// It serves.
    Serving,
    /// It is connected, and says that it does not serve.
    NotServing,
    /// Nothing more will be heard of it, and why.
    Ended(String),
}

enum Watch {
    Start(Connection, Uri),
    Open(Messages),
    /// The server does not tell: it serves while it is connected.
    Unknown,
    Ended,
}

/// Returns a stream of the health of the whole server, with an item for each change.
pub(crate) fn health(connection: Connection, origin: Uri) -> impl Stream<Item = Health> + Send {
    stream::unfold(Watch::Start(connection, origin), |watch| async {
        let next = match watch {
            Watch::Start(connection, origin) => match open(connection, &origin).await {
                Ok(messages) => next(messages).await,
                Err(status) => Err(status),
            },
            Watch::Open(messages) => next(messages).await,
            Watch::Unknown => std::future::pending().await,
            Watch::Ended => return None,
        };
        Some(match next {
            Ok((true, messages)) => (Health::Serving, Watch::Open(messages)),
            Ok((false, messages)) => (Health::NotServing, Watch::Open(messages)),
            Err(status) if tells_nothing(&status) => (Health::Serving, Watch::Unknown),
            Err(status) => (Health::Ended(why_ended(&status)), Watch::Ended),
        })
    })
}

/// Returns whether the server does not tell its health: it has no health service, or too many watch it. Others could keep
/// everybody out if a server without room for one more were taken for one that does not serve.
fn tells_nothing(status: &Status) -> bool {
    matches!(status.code(), Code::Unimplemented | Code::ResourceExhausted)
}

/// Returns why the server ended the stream: in its own words if it refuses the connection, which it says with GOAWAY.
fn why_ended(status: &Status) -> String {
    match source::find::<h2::Error>(status) {
        Some(error) if error.is_go_away() && error.reason() != Some(h2::Reason::NO_ERROR) => error.to_string(),
        _ => "it stopped serving".to_owned(),
    }
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
