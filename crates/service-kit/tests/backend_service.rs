//! A backend service from its settings to its replies, over a real socket.

#![allow(clippy::unwrap_used, reason = "clippy knows tests by their attribute alone")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use clap::Parser;
use fanout_proto::{
    FILE_DESCRIPTOR_SET,
    user::v1::{
        CreateUserRequest, GetUserRequest, ListUsersRequest, ListUsersResponse, User,
        user_service_client::UserServiceClient,
        user_service_server::{UserService, UserServiceServer},
    },
};
use futures::{StreamExt as _, stream};
use service_kit::{
    BackendArgs, BackendService, BoxError, ReadinessCheck, ServeContext, Settings, Started,
    command_line::{self, Invocation},
    health,
};
use tokio::{net::TcpListener, sync::oneshot};
use tonic::{Code, Request, Response, Status, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

#[derive(Debug, Parser)]
struct Config {
    #[command(flatten)]
    backend: BackendArgs,
    /// The start of the service waits for this.
    #[arg(skip)]
    may_start: Option<oneshot::Receiver<()>>,
    /// Whether what it depends on is there.
    #[arg(skip)]
    dependency: Option<Dependency>,
}

#[derive(Debug)]
struct Dependency(Arc<AtomicBool>);

impl ReadinessCheck for Dependency {
    async fn check(&mut self) -> Result<(), BoxError> {
        if self.0.load(Ordering::Relaxed) { Ok(()) } else { Err("it is gone".into()) }
    }
}

impl BackendService for Config {
    const NAME: &'static str = "example-service";
    const PORT: u16 = 50059;
    const DESCRIPTORS: &'static [u8] = FILE_DESCRIPTOR_SET;
    type Server = UserServiceServer<Users>;

    fn backend(&self) -> &BackendArgs {
        &self.backend
    }

    async fn start(self) -> Result<Started<Self::Server>, BoxError> {
        self.may_start.unwrap().await?;
        let started = Started::from(UserServiceServer::new(Users));
        Ok(match self.dependency {
            Some(dependency) => started.ready_while(dependency),
            None => started,
        })
    }
}

#[derive(Clone)]
struct Users;

#[tonic::async_trait]
impl UserService for Users {
    async fn get_user(&self, _: Request<GetUserRequest>) -> Result<Response<User>, Status> {
        Ok(Response::new(User::default()))
    }

    async fn list_users(&self, _: Request<ListUsersRequest>) -> Result<Response<ListUsersResponse>, Status> {
        Err(Status::unimplemented("not needed"))
    }

    async fn create_user(&self, _: Request<CreateUserRequest>) -> Result<Response<User>, Status> {
        Err(Status::unimplemented("not needed"))
    }
}

fn config(may_start: oneshot::Receiver<()>) -> Config {
    let args = ["example", "--delay", "0", "--allow-overrides"];
    let Invocation::Serve(config) = command_line::parse::<Config>(args).unwrap() else { panic!("not a healthcheck") };
    Config { may_start: Some(may_start), ..config }
}

fn context(listener: TcpListener) -> ServeContext {
    ServeContext { listener: listener.into(), shutdown: stream::pending().boxed(), meter: None }
}

#[tokio::test]
async fn a_backend_answers_when_it_has_started_and_is_delayed_by_its_own_name() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (start, may_start) = oneshot::channel();
    tokio::spawn(config(may_start).serve(context(listener)));
    let mut client = UserServiceClient::connect(url.clone()).await.unwrap();
    let status = client.get_user(GetUserRequest::default()).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unavailable, "the service is still starting"));
    health::check(&url, Duration::from_secs(20)).await.expect_err("not serving before the start");

    start.send(()).unwrap();
    while health::check(&url, Duration::from_secs(20)).await.is_err() {
        tokio::task::yield_now().await;
    }
    client.get_user(GetUserRequest::default()).await.unwrap();
    let mut request = Request::new(GetUserRequest::default());
    request.metadata_mut().insert("baggage", "example.error-rate=1".parse().unwrap());
    let status = client.get_user(request).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unavailable, "injected fault of service example"));
}

#[tokio::test]
async fn health_follows_what_a_backend_depends_on() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (start, may_start) = oneshot::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let is_there = Arc::new(AtomicBool::new(true));
    let config = Config { dependency: Some(Dependency(Arc::clone(&is_there))), ..config(may_start) };
    let shutdown = stream::once(async { stopped.await.unwrap() }).chain(stream::pending()).boxed();
    let ended = tokio::spawn(config.serve(ServeContext { listener: listener.into(), shutdown, meter: None }));
    let channel = Channel::from_shared(url).unwrap().connect().await.unwrap();
    let mut client = UserServiceClient::new(channel.clone());
    let mut health = HealthClient::new(channel);
    let mut watch = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    let mut status = async || watch.message().await.unwrap().unwrap().status();
    assert_eq!(status().await, ServingStatus::NotServing);
    start.send(()).unwrap();
    assert_eq!(status().await, ServingStatus::Serving);
    is_there.store(false, Ordering::Relaxed);
    assert_eq!(status().await, ServingStatus::NotServing);
    client.get_user(GetUserRequest::default()).await.expect("calls are answered all the same");
    is_there.store(true, Ordering::Relaxed);
    assert_eq!(status().await, ServingStatus::Serving);
    stop.send(()).unwrap();
    assert_eq!(status().await, ServingStatus::NotServing, "a check does not undo the drain");
    drop(client);
    tokio::time::timeout(Duration::from_secs(30), ended).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_backend_that_cannot_start_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (start, may_start) = oneshot::channel();
    drop(start);
    let error = config(may_start).serve(context(listener)).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot start: channel closed");
}
