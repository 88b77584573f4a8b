//! The bounds of health and reflection, over real sockets.

#![allow(clippy::unwrap_used, reason = "clippy knows tests by their attribute alone")]

use std::{convert::Infallible, future::ready, net::SocketAddr, time::Duration};

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::Request;
use service_kit::serve::{ConnectionLimits, Server, ServerLimits};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};
use tonic::{Code, Status, transport::Channel};
use tonic_health::pb::{FILE_DESCRIPTOR_SET, HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest,
    server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest::{FileContainingSymbol, ListServices},
    server_reflection_response::MessageResponse,
};

/// More than anything takes.
const TIMEOUT: Duration = Duration::from_secs(20);

/// How many streams a connection may have.
const MAX_PER_CONNECTION: usize = 32;

/// A running server without services.
struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

impl Running {
    async fn start(reflection: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let limits = ServerLimits {
            deadline: TIMEOUT,
            body_timeout: TIMEOUT,
            drain: Duration::from_mins(10),
            max_in_flight: 1,
            max_share: 100,
            rate: None,
            connections: ConnectionLimits::default(),
        };
        let server = Server::new(FILE_DESCRIPTOR_SET, limits, None).reflection(reflection);
        let (stop, stopped) = oneshot::channel();
        let stopped = Box::pin(stream::once(async { stopped.await.unwrap() }).chain(stream::pending()));
        let ended = tokio::spawn(async move {
            server.serve(listener, ready(Ok::<_, Infallible>(())), stopped).await.unwrap();
        });
        Self { address, stop, ended }
    }

    async fn channel(&self) -> Channel {
        Channel::from_shared(format!("http://{}", self.address)).unwrap().connect().await.unwrap()
    }
}

async fn watch(channel: &Channel) -> Result<tonic::Streaming<tonic_health::pb::HealthCheckResponse>, Status> {
    let reply = HealthClient::new(channel.clone()).watch(HealthCheckRequest::default()).await;
    reply.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn a_connection_has_a_share_of_the_streams_and_all_of_the_checks() {
    let running = Running::start(true).await;
    let channel = running.channel().await;
    let mut open = Vec::new();
    for _ in 0..MAX_PER_CONNECTION {
        open.push(watch(&channel).await.unwrap());
    }
    let status = watch(&channel).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().ends_with("the limit is 32"), "{status}");
    let status =
        ServerReflectionClient::new(channel.clone()).server_reflection_info(stream::pending()).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "reflection is in the same pool");
    HealthClient::new(channel.clone()).check(HealthCheckRequest::default()).await.expect("a check is not counted");
    watch(&running.channel().await).await.expect("other connections have their own share");
    drop(open);
    let is_free = async { while watch(&channel).await.is_err() {} };
    timeout(TIMEOUT, is_free).await.expect("a stream that its caller drops is counted no more");
}

#[tokio::test]
async fn reflection_answers_if_it_is_on() {
    let ask = async |running: &Running| {
        let ask = |what| ServerReflectionRequest { message_request: Some(what), ..Default::default() };
        let asked = [ask(ListServices(String::new())), ask(FileContainingSymbol("grpc.health.v1.Health".to_owned()))];
        let mut client = ServerReflectionClient::new(running.channel().await);
        let mut replies = client.server_reflection_info(stream::iter(asked)).await?.into_inner();
        let mut messages = Vec::new();
        while let Some(reply) = replies.message().await? {
            messages.extend(reply.message_response);
        }
        Ok::<_, Status>(messages)
    };
    let messages = ask(&Running::start(true).await).await.unwrap();
    let [MessageResponse::ListServicesResponse(services), MessageResponse::FileDescriptorResponse(_)] = &*messages
    else {
        panic!("{messages:?}");
    };
    assert!(services.service.iter().any(|service| service.name == "grpc.reflection.v1.ServerReflection"));
    assert_eq!(ask(&Running::start(false).await).await.unwrap_err().code(), Code::Unimplemented);
}

/// The reply of a caller whose window is empty is not even looked at by HTTP/2.
#[tokio::test]
async fn a_watch_that_is_not_read_does_not_hold_the_drain() {
    let running = Running::start(false).await;
    let stream = TcpStream::connect(running.address).await.unwrap();
    let (mut client, connection) =
        h2::client::Builder::new().initial_window_size(0).handshake::<_, Bytes>(stream).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post(format!("http://{}/grpc.health.v1.Health/Watch", running.address));
    let request = request.header("content-type", "application/grpc").body(()).unwrap();
    let (reply, mut body) = client.send_request(request, false).unwrap();
    body.send_data(Bytes::from_static(&[0; 5]), true).unwrap();
    let _unread = timeout(TIMEOUT, reply).await.unwrap().unwrap();
    running.stop.send(()).unwrap();
    timeout(TIMEOUT, running.ended).await.expect("the drain of ten minutes is not used up").unwrap();
}

#[tokio::test]
async fn a_message_that_is_too_large_is_rejected() {
    let running = Running::start(true).await;
    let mut health = HealthClient::new(running.channel().await);
    let status = health.check(HealthCheckRequest { service: "x".repeat(20 << 10) }).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status}");
    let status = health.check(HealthCheckRequest { service: "x".repeat(100 << 10) }).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status}");
}
