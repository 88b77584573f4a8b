//! Start, health and drain, over real sockets, with a real client.

#![allow(clippy::unwrap_used, reason = "clippy knows tests by their attribute alone")]

use std::{
    convert::Infallible,
    future::{pending, ready},
    net::SocketAddr,
    time::{Duration, Instant},
};

use fanout_proto::{
    FILE_DESCRIPTOR_SET,
    user::v1::{
        CreateUserRequest, GetUserRequest, ListUsersRequest, ListUsersResponse, User,
        user_service_client::UserServiceClient,
        user_service_server::{UserService, UserServiceServer},
    },
};
use futures::{StreamExt as _, stream};
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::Registry;
use service_kit::{
    serve::{ConnectionLimits, ServeError, Server, ServerLimits},
    startup_gate::StartupGate,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use tonic::{Code, Request, Response, Status, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus, health_client::HealthClient,
};

/// More than any test needs.
const MAX_IN_FLIGHT: usize = 100;

/// Returns limits with this time to drain.
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

/// Answers each call when the test sends to its channel.
struct OnCommand {
    arrived: mpsc::UnboundedSender<oneshot::Sender<()>>,
}

#[tonic::async_trait]
impl UserService for OnCommand {
    async fn get_user(&self, _: Request<GetUserRequest>) -> Result<Response<User>, Status> {
        let (answer, told) = oneshot::channel();
        self.arrived.send(answer).unwrap();
        told.await.unwrap();
        Ok(Response::new(User::default()))
    }

    async fn list_users(&self, _: Request<ListUsersRequest>) -> Result<Response<ListUsersResponse>, Status> {
        Err(Status::unimplemented("not needed"))
    }

    async fn create_user(&self, _: Request<CreateUserRequest>) -> Result<Response<User>, Status> {
        Err(Status::unimplemented("not needed"))
    }
}

/// A running server.
struct Running {
    address: SocketAddr,
    stop: mpsc::UnboundedSender<()>,
    ended: JoinHandle<Result<(), ServeError>>,
    arrived: mpsc::UnboundedReceiver<oneshot::Sender<()>>,
    metrics: Registry,
    _provider: SdkMeterProvider,
}

impl Running {
    async fn start(drain: Duration) -> Self {
        Self::start_when(drain, ready(Ok(()))).await
    }

    async fn start_when(
        drain: Duration,
        is_ready: impl Future<Output = Result<(), Infallible>> + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, arrived) = mpsc::unbounded_channel();
        let (stop, stopped) = mpsc::unbounded_channel::<()>();
        let metrics = Registry::new();
        let reader = opentelemetry_prometheus::exporter().with_registry(metrics.clone()).build().unwrap();
        let provider = SdkMeterProvider::builder().with_reader(reader).build();
        let server = Server::new(FILE_DESCRIPTOR_SET, limits(drain), Some(&provider.meter("test")))
            .service(UserServiceServer::new(OnCommand { arrived: tell }));
        let shutdown = stream::unfold(stopped, |mut stopped| async { stopped.recv().await.map(|()| ((), stopped)) });
        let shutdown = shutdown.boxed();
        let ended = tokio::spawn(server.serve(listener, is_ready, shutdown));
        Self { address, stop, ended, arrived, metrics, _provider: provider }
    }

    /// Returns how many requests it has cut off.
    fn cut_off(&self) -> String {
        let families = self.metrics.gather();
        let family = families.iter().find(|family| family.name() == "fanout_server_cut_off_total").unwrap();
        family.get_metric()[0].get_counter().get_value().to_string()
    }

    async fn channel(&self) -> Channel {
        Channel::from_shared(format!("http://{}", self.address)).unwrap().connect().await.unwrap()
    }
}

/// Waits until the server has ended.
async fn end(ended: JoinHandle<Result<(), ServeError>>) {
    let ended = tokio::time::timeout(Duration::from_secs(30), ended);
    ended.await.expect("bounded by the drain").unwrap().unwrap();
}

async fn watch(channel: Channel, service: &str) -> tonic::Streaming<HealthCheckResponse> {
    let request = HealthCheckRequest { service: service.to_owned() };
    HealthClient::new(channel).watch(request).await.unwrap().into_inner()
}

async fn status(watch: &mut tonic::Streaming<HealthCheckResponse>) -> ServingStatus {
    watch.message().await.unwrap().unwrap().status()
}

#[tokio::test]
async fn health_follows_start_and_drain() {
    let (tell, told) = oneshot::channel::<()>();
    let ready = async {
        told.await.unwrap();
        Ok(())
    };
    let mut running = Running::start_when(Duration::from_mins(1), ready).await;
    let channel = running.channel().await;
    let mut whole = watch(channel.clone(), "").await;
    let mut users = watch(channel.clone(), "fanout.user.v1.UserService").await;
    assert_eq!(status(&mut whole).await, ServingStatus::NotServing);
    assert_eq!(status(&mut users).await, ServingStatus::NotServing);
    tell.send(()).unwrap();
    assert_eq!(status(&mut whole).await, ServingStatus::Serving);
    assert_eq!(status(&mut users).await, ServingStatus::Serving);

    // A call in flight is answered after the shutdown.
    let mut client = UserServiceClient::new(channel);
    let call = tokio::spawn(async move { client.get_user(GetUserRequest::default()).await });
    let answer = running.arrived.recv().await.unwrap();
    running.stop.send(()).unwrap();
    assert_eq!(status(&mut whole).await, ServingStatus::NotServing);
    assert_eq!(status(&mut users).await, ServingStatus::NotServing);
    answer.send(()).unwrap();
    call.await.unwrap().unwrap();
    // Watches end with a status, and do not hold the drain.
    assert_eq!(whole.message().await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(users.message().await.unwrap_err().code(), Code::Unavailable);
    end(running.ended).await;
}

#[tokio::test]
async fn a_drain_ends_although_a_call_does_not() {
    let drain = Duration::from_millis(200);
    let mut running = Running::start(drain).await;
    let mut client = UserServiceClient::new(running.channel().await);
    // Its connection closes with the runtime.
    let _call = tokio::spawn(async move { client.get_user(GetUserRequest::default()).await });
    let _never_answered = running.arrived.recv().await.unwrap();
    let begun = Instant::now();
    assert_eq!(running.cut_off(), "0");
    running.stop.send(()).unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(20), &mut running.ended).await.expect("the drain has an end");
    let error = ended.unwrap().unwrap_err();
    assert!(matches!(error, ServeError::CutOff { in_flight: 1 }), "{error}");
    assert_eq!(running.cut_off(), "1");
    assert!(begun.elapsed() >= drain, "the call had its time: {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_second_shutdown_cuts_off_what_is_in_flight() {
    let mut running = Running::start(Duration::from_mins(10)).await;
    let mut client = UserServiceClient::new(running.channel().await);
    let _call = tokio::spawn(async move { client.get_user(GetUserRequest::default()).await });
    let _never_answered = running.arrived.recv().await.unwrap();
    let mut health = watch(running.channel().await, "").await;
    assert_eq!(status(&mut health).await, ServingStatus::Serving);
    running.stop.send(()).unwrap();
    assert_eq!(status(&mut health).await, ServingStatus::NotServing);
    assert!(!running.ended.is_finished(), "one shutdown leaves the call its time");
    running.stop.send(()).unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(20), running.ended).await.expect("it does not wait");
    let error = ended.unwrap().unwrap_err();
    assert!(matches!(error, ServeError::CutOff { in_flight: 1 }), "{error}");
}

#[tokio::test]
async fn a_second_shutdown_is_no_failure_if_nothing_is_in_flight() {
    let running = Running::start(Duration::from_mins(10)).await;
    let _sent_nothing = TcpStream::connect(running.address).await.unwrap();
    let mut health = watch(running.channel().await, "").await;
    assert_eq!(status(&mut health).await, ServingStatus::Serving);
    running.stop.send(()).unwrap();
    running.stop.send(()).unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(20), running.ended).await.expect("it does not wait");
    ended.unwrap().unwrap();
}

#[tokio::test]
async fn silent_connections_do_not_hold_the_process() {
    let running = Running::start(Duration::from_millis(200)).await;
    let _sent_nothing = TcpStream::connect(running.address).await.unwrap();
    let _idle = running.channel().await;
    running.stop.send(()).unwrap();
    end(running.ended).await;
}

#[tokio::test]
async fn a_closed_startup_gate_answers_unavailable() {
    let gate = StartupGate::<UserServiceServer<OnCommand>>::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = Server::new(FILE_DESCRIPTOR_SET, limits(Duration::ZERO), None);
    let never_ready = pending::<Result<(), Infallible>>();
    tokio::spawn(server.service(gate.clone()).serve(listener, never_ready, stream::pending()));
    let mut client = UserServiceClient::connect(url).await.unwrap();
    let status = client.get_user(GetUserRequest::default()).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unavailable, "the service is still starting"));
    let (arrived, _) = mpsc::unbounded_channel();
    gate.open(UserServiceServer::new(OnCommand { arrived })).unwrap();
    let status = client.list_users(ListUsersRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented, "the service itself answers");
}

#[tokio::test]
async fn a_service_that_cannot_start_ends_the_server() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server::new(FILE_DESCRIPTOR_SET, limits(Duration::ZERO), None);
    let corrupt = ready(Err::<(), _>(std::io::Error::other("the database is corrupt")));
    let error = server.serve(listener, corrupt, stream::pending()).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot start: the database is corrupt");
}
