//! Checks that what answers at an address is a gateway of this project.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use fanout_proto::gateway::v1::gateway_service_server::SERVICE_NAME;
use http::{Response, header::CONTENT_TYPE};
use tonic::{Code, Status, body::Body, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tower::ServiceExt as _;

/// How long the answer may take. It needs no backend.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What is wrong with the server at an address.
#[derive(Debug, thiserror::Error)]
pub enum NotAGateway {
    /// It closes the connection, or answers as another protocol does.
    #[error("what answers there does not speak gRPC")]
    NotGrpc(#[source] Option<Box<Status>>),
    /// It is a gRPC server of something else.
    #[error("what answers there is a gRPC server without {SERVICE_NAME}")]
    OtherService,
    /// It accepts connections, and then says nothing.
    #[error("what listens there has not answered within {} s", TIMEOUT.as_secs())]
    Silent,
}

/// Asks the server whether it has the gateway's service, through the standard health service.
///
/// A gateway that is not healthy is a gateway: what its requests come to is for its caller to see. So is one without the
/// health service, as far as this can tell.
pub(super) async fn check(channel: Channel) -> Result<(), NotAGateway> {
    let speaks_grpc = Arc::new(AtomicBool::new(false));
    let note = Arc::clone(&speaks_grpc);
    let channel = channel.map_response(move |response: Response<Body>| {
        note.store(is_grpc(&response), Ordering::Relaxed);
        response
    });
    let mut health = HealthClient::new(channel);
    let reply = health.check(HealthCheckRequest { service: SERVICE_NAME.to_owned() });
    match tokio::time::timeout(TIMEOUT, reply).await {
        Ok(reply) => judge(reply.map(drop), speaks_grpc.load(Ordering::Relaxed)),
        Err(_) => Err(NotAGateway::Silent),
    }
}

fn judge(reply: Result<(), Status>, speaks_grpc: bool) -> Result<(), NotAGateway> {
    match reply {
        reply if !speaks_grpc => Err(NotAGateway::NotGrpc(reply.err().map(Box::new))),
        Err(status) if status.code() == Code::NotFound => Err(NotAGateway::OtherService),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn is_grpc<B>(response: &Response<B>) -> bool {
    let content_type = response.headers().get(CONTENT_TYPE);
    content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_another_service_or_protocol_is_no_gateway() {
        assert!(judge(Ok(()), true).is_ok());
        assert!(judge(Err(Status::unimplemented("")), true).is_ok(), "no health service: nobody can tell");
        assert!(judge(Err(Status::resource_exhausted("")), true).is_ok(), "a gateway may refuse");
        assert!(matches!(judge(Err(Status::not_found("")), true), Err(NotAGateway::OtherService)));
        let web_server = judge(Err(Status::unimplemented("")), false);
        assert!(matches!(web_server, Err(NotAGateway::NotGrpc(Some(_)))), "a 404 of HTTP");
    }
}
