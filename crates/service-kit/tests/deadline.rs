//! Expired calls over a real socket, with h2 alone as the client: it has no timers.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

use std::{
    convert::Infallible,
    future::{pending, ready},
    time::Duration,
};

use bytes::Bytes;
use fanout_proto::{
    FILE_DESCRIPTOR_SET,
    user::v1::{
        CreateUserRequest, GetUserRequest, ListUsersRequest, ListUsersResponse, User,
        user_service_server::{UserService, UserServiceServer},
    },
};
use futures::future::join_all;
use h2::client::SendRequest;
use service_kit::serve::{ConnectionLimits, Server, ServerLimits};
use tokio::net::{TcpListener, TcpStream};
use tonic::{Code, Request, Response, Status};

/// A service whose calls never end.
struct Silent;

#[tonic::async_trait]
impl UserService for Silent {
    async fn get_user(&self, _: Request<GetUserRequest>) -> Result<Response<User>, Status> {
        pending().await
    }

    async fn list_users(&self, _: Request<ListUsersRequest>) -> Result<Response<ListUsersResponse>, Status> {
        pending().await
    }

    async fn create_user(&self, _: Request<CreateUserRequest>) -> Result<Response<User>, Status> {
        pending().await
    }
}

/// Returns the code with which the server ends a call.
async fn code(sender: SendRequest<Bytes>, timeout: String) -> Code {
    let request = http::Request::post("http://localhost/fanout.user.v1.UserService/GetUser")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", timeout)
        .body(())
        .unwrap();
    let (reply, mut message) = sender.ready().await.unwrap().send_request(request, false).unwrap();
    // The server may reply and close the stream before it has the message.
    let _ = message.send_data(Bytes::from_static(&[0; 5]), true);
    Status::from_header_map(reply.await.unwrap().headers()).unwrap().code()
}

/// Never as CANCELLED, with which tonic's own server ends some of them if the machine is busy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_expired_call_ends_as_deadline_exceeded() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = ConnectionLimits::default();
    let limits = ServerLimits {
        deadline: Duration::from_secs(5),
        drain: Duration::ZERO,
        max_in_flight: 1_000,
        max_share: 25,
        rate: None,
        body_timeout: Duration::from_secs(5),
        connections,
    };
    let server = Server::new(FILE_DESCRIPTOR_SET, limits, None).service(UserServiceServer::new(Silent));
    tokio::spawn(server.serve(listener, ready(Ok::<_, Infallible>(())), futures::stream::pending()));
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    for round in 0..40 {
        let calls =
            (0..50).map(|number| code(sender.clone(), format!("{}u", 1_000 + (round * 50 + number) * 37 % 4_001)));
        for code in join_all(calls).await {
            assert_eq!(code, Code::DeadlineExceeded);
        }
    }
}
