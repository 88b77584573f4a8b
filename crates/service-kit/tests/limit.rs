//! Requests above the limits, over real sockets, with a real client.

#![allow(clippy::unwrap_used, reason = "clippy knows tests by their attribute alone")]

use std::{
    convert::Infallible,
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use fanout_proto::{
    FILE_DESCRIPTOR_SET,
    gateway::v1::{
        GetHomeCountryRequest, GetProfileRequest, StreamUsersRequest,
        gateway_service_client::GatewayServiceClient,
        spliced::{
            GetHomeCountryResponse, GetProfileResponse, StreamUsersResponse,
            gateway_service_server::{GatewayService, GatewayServiceServer},
        },
    },
    user::v1::{
        CreateUserRequest, GetUserRequest, ListUsersRequest, ListUsersResponse, User,
        user_service_client::UserServiceClient,
        user_service_server::{UserService, UserServiceServer},
    },
};
use futures::stream;
use rpc_layers::rate_limit::RateLimit;
use service_kit::{
    health,
    serve::{ConnectionLimits, Server, ServerLimits},
};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{
    Code, Request, Response, Status,
    transport::{Channel, Endpoint},
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest::ListServices,
};
use tonic_types::StatusExt as _;

const MAX_IN_FLIGHT: usize = 2;

type Messages = mpsc::UnboundedSender<Result<StreamUsersResponse, Status>>;

/// Returns the limits of the server.
fn limits(drain: Duration) -> ServerLimits {
    ServerLimits {
        deadline: Duration::from_mins(1),
        drain,
        max_in_flight: MAX_IN_FLIGHT,
        max_share: 25,
        rate: None,
        body_timeout: Duration::from_secs(5),
        connections: ConnectionLimits::default(),
    }
}

/// A running server.
struct Running {
    url: String,
    /// What its streams of users are sent through.
    begun: mpsc::UnboundedReceiver<Messages>,
    /// How many users it was asked for.
    asked: Arc<AtomicUsize>,
}

/// Starts a server with these limits.
async fn start(limits: ServerLimits) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let ((tell, begun), asked) = (mpsc::unbounded_channel(), Arc::default());
    let server = Server::new(FILE_DESCRIPTOR_SET, limits, None)
        .reflection(true)
        .service(GatewayServiceServer::new(Streams(tell)))
        .service(UserServiceServer::new(Users(Arc::clone(&asked))));
    tokio::spawn(server.serve(listener, ready(Ok::<_, Infallible>(())), stream::pending()));
    Running { url, begun, asked }
}

/// Streams what the test sends to its channels.
struct Streams(mpsc::UnboundedSender<Messages>);

#[tonic::async_trait]
impl GatewayService for Streams {
    type StreamUsersStream = UnboundedReceiverStream<Result<StreamUsersResponse, Status>>;

    async fn get_profile(&self, _: Request<GetProfileRequest>) -> Result<Response<GetProfileResponse>, Status> {
        Err(Status::unimplemented("not needed"))
    }

    async fn get_home_country(
        &self,
        _: Request<GetHomeCountryRequest>,
    ) -> Result<Response<GetHomeCountryResponse>, Status> {
        Err(Status::unimplemented("not needed"))
    }

    async fn stream_users(&self, _: Request<StreamUsersRequest>) -> Result<Response<Self::StreamUsersStream>, Status> {
        let (send, messages) = mpsc::unbounded_channel();
        self.0.send(send).unwrap();
        Ok(Response::new(UnboundedReceiverStream::new(messages)))
    }
}

/// Answers at once, and counts.
struct Users(Arc<AtomicUsize>);

#[tonic::async_trait]
impl UserService for Users {
    async fn get_user(&self, _: Request<GetUserRequest>) -> Result<Response<User>, Status> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(Response::new(User::default()))
    }

    async fn list_users(&self, _: Request<ListUsersRequest>) -> Result<Response<ListUsersResponse>, Status> {
        Err(Status::unimplemented("not needed"))
    }

    async fn create_user(&self, _: Request<CreateUserRequest>) -> Result<Response<User>, Status> {
        Err(Status::unimplemented("not needed"))
    }
}

/// Calls until a permit is free: the server drops a reply a moment after its client has read it.
async fn until_answered(client: &mut UserServiceClient<Channel>) {
    let answered = async {
        while let Err(status) = client.get_user(GetUserRequest::default()).await {
            assert_eq!(status.code(), Code::ResourceExhausted);
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), answered).await.expect("a permit is released");
}

#[tokio::test]
async fn a_streamed_reply_holds_its_permit() {
    let Running { url, mut begun, asked } = start(limits(Duration::ZERO)).await;
    let mut gateway = GatewayServiceClient::connect(url.clone()).await.unwrap();
    let mut users = UserServiceClient::connect(url.clone()).await.unwrap();

    let mut streams = Vec::new();
    for _ in 0..MAX_IN_FLIGHT {
        let messages = gateway.stream_users(StreamUsersRequest::default()).await.unwrap().into_inner();
        streams.push((messages, begun.recv().await.unwrap()));
    }
    // The headers and the first message have arrived, but neither reply has ended. A large request is not read.
    streams[0].1.send(Ok(StreamUsersResponse::default())).unwrap();
    streams[0].0.message().await.unwrap().unwrap();
    let large = GetUserRequest { user_id: "x".repeat(1 << 20) };
    let status = users.get_user(large).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::ResourceExhausted, "too many requests in flight: the limit is 2")
    );
    let info = status.get_details_error_info().unwrap();
    assert_eq!((&*info.reason, &*info.domain), ("TOO_MANY_REQUESTS_IN_FLIGHT", "fanout"));
    assert_eq!(asked.load(Ordering::Relaxed), 0, "one service's requests count against the other's");
    health::check(&url, Duration::from_secs(20)).await.expect("health is answered during an overload");
    let mut reflection = ServerReflectionClient::new(Endpoint::try_from(url).unwrap().connect().await.unwrap());
    let asked = ServerReflectionRequest { message_request: Some(ListServices(String::new())), ..Default::default() };
    let mut answers = reflection.server_reflection_info(stream::iter([asked])).await.unwrap().into_inner();
    assert!(answers.message().await.unwrap().is_some(), "reflection is answered during an overload");

    // A reply that ends releases its permit, and so does one whose caller is gone.
    let (mut messages, send) = streams.pop().unwrap();
    drop(send);
    assert!(messages.message().await.unwrap().is_none());
    until_answered(&mut users).await;
    let (messages, send) = streams.pop().unwrap();
    drop(messages);
    send.closed().await;
    until_answered(&mut users).await;
}

#[tokio::test]
async fn a_connection_that_has_everything_leaves_room_for_others() {
    const MAX: usize = 40;
    let Running { url, mut begun, .. } = start(ServerLimits { max_in_flight: MAX, ..limits(Duration::ZERO) }).await;
    let mut greedy = GatewayServiceClient::connect(url.clone()).await.unwrap();
    let mut streams = Vec::new();
    for _ in 0..MAX {
        streams.push((greedy.stream_users(StreamUsersRequest::default()).await.unwrap(), begun.recv().await.unwrap()));
    }
    let alone = greedy.stream_users(StreamUsersRequest::default()).await.unwrap_err();
    assert_eq!(alone.get_details_error_info().unwrap().reason, "TOO_MANY_REQUESTS_IN_FLIGHT");
    // Each of the others has one in flight at a time.
    for _ in 0..5 {
        let mut other = UserServiceClient::connect(url.clone()).await.unwrap();
        until_answered(&mut other).await;
    }
    let mut other = GatewayServiceClient::connect(url).await.unwrap();
    streams.push((other.stream_users(StreamUsersRequest::default()).await.unwrap(), begun.recv().await.unwrap()));
    let status = greedy.stream_users(StreamUsersRequest::default()).await.unwrap_err();
    let info = status.get_details_error_info().unwrap();
    assert_eq!((&*info.reason, &*info.metadata["caller"]), ("SHARE_OF_REQUESTS_EXCEEDED", "connection"));
    assert_eq!(status.get_details_retry_info().unwrap().retry_delay, Some(Duration::from_secs(1)));
}

#[tokio::test]
async fn a_caller_that_is_too_fast_is_told_when_to_come_again() {
    const BURST: u32 = 10;
    let rate = RateLimit { per_second: 2.try_into().unwrap(), burst: BURST.try_into().unwrap() };
    let Running { url, .. } = start(ServerLimits { rate: Some(rate), ..limits(Duration::ZERO) }).await;
    let first = Instant::now();
    let (mut served, mut rejected) = (0, 0);
    let wait = loop {
        // Other connections do not help.
        let mut users = UserServiceClient::connect(url.clone()).await.unwrap();
        match users.get_user(GetUserRequest::default()).await {
            Ok(_) => served += 1,
            Err(status) => {
                assert_eq!(status.code(), Code::ResourceExhausted);
                assert_eq!(status.get_details_error_info().unwrap().reason, "RATE_LIMIT_EXCEEDED");
                rejected += 1;
                if rejected == 20 {
                    break status.get_details_retry_info().unwrap().retry_delay.unwrap();
                }
            }
        }
    };
    let most = BURST + 1 + 2 * u32::try_from(first.elapsed().as_millis()).unwrap() / 1000;
    assert!((BURST..=most).contains(&served), "{served} served, {most} allowed");
    assert!(wait <= Duration::from_millis(500), "{wait:?}");
    health::check(&url, Duration::from_secs(20)).await.expect("health is not limited");
    tokio::time::sleep(wait).await;
    UserServiceClient::connect(url).await.unwrap().get_user(GetUserRequest::default()).await.unwrap();
}
