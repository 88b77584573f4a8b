//! A server whose connections several threads serve: where they go, and that limits and the drain are of the process.

#![allow(clippy::unwrap_used, reason = "clippy knows tests by their attribute alone")]

use std::{collections::HashMap, convert::Infallible, future::ready, num::NonZero, sync::Arc, thread, time::Duration};

use fanout_proto::{
    FILE_DESCRIPTOR_SET,
    user::v1::{
        CreateUserRequest, GetUserRequest, ListUsersRequest, ListUsersResponse, User,
        user_service_client::UserServiceClient,
        user_service_server::{UserService, UserServiceServer},
    },
};
use futures::{StreamExt as _, future::join_all, stream, stream::FuturesUnordered};
use service_kit::{
    Listener, ServeError,
    serve::{ConnectionLimits, Server, ServerLimits},
    workers::Workers,
};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};
use tonic::{Code, Request, Response, Status, transport::Channel};

/// More than anything takes.
const LONG: Duration = Duration::from_secs(30);

/// Answers with the name of its thread, when it may.
#[derive(Clone)]
struct WhichThread {
    begun: mpsc::UnboundedSender<()>,
    go: Arc<Semaphore>,
}

struct Running {
    clients: Vec<UserServiceClient<Channel>>,
    begun: mpsc::UnboundedReceiver<()>,
    go: Arc<Semaphore>,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<(), ServeError>>,
}

#[tonic::async_trait]
impl UserService for WhichThread {
    async fn get_user(&self, _: Request<GetUserRequest>) -> Result<Response<User>, Status> {
        self.begun.send(()).unwrap();
        self.go.acquire().await.unwrap().forget();
        Ok(Response::new(User { display_name: this_thread(), ..User::default() }))
    }

    async fn list_users(&self, _: Request<ListUsersRequest>) -> Result<Response<ListUsersResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn create_user(&self, _: Request<CreateUserRequest>) -> Result<Response<User>, Status> {
        Err(Status::unimplemented("not here"))
    }
}

impl Running {
    /// Serves on these workers, and connects so many clients.
    async fn start(workers: Workers, max_in_flight: usize, clients: usize) -> Self {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", tcp.local_addr().unwrap());
        let limits = ServerLimits {
            deadline: LONG,
            drain: LONG,
            max_in_flight,
            max_share: 100,
            rate: None,
            body_timeout: LONG,
            connections: ConnectionLimits::default(),
        };
        let ((sender, begun), go) = (mpsc::unbounded_channel(), Arc::new(Semaphore::new(0)));
        let service = UserServiceServer::new(WhichThread { begun: sender, go: Arc::clone(&go) });
        let server = Server::new(FILE_DESCRIPTOR_SET, limits, None).service(service);
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = Box::pin(stream::once(async { stopped.await.unwrap() }).chain(stream::pending()));
        let listener = Listener::new(tcp, None).served_by(workers);
        let ended = tokio::spawn(server.serve(listener, ready(Ok::<_, Infallible>(())), shutdown));
        let connect = || async { UserServiceClient::connect(url.clone()).await.unwrap() };
        let clients = join_all((0..clients).map(|_| connect())).await;
        Self { clients, begun, go, stop, ended }
    }

    /// Makes one call on each connection at the same time. Returns the replies as they come.
    fn call_all(&self) -> FuturesUnordered<impl Future<Output = Result<String, Code>> + use<>> {
        let call = |mut client: UserServiceClient<Channel>| async move {
            let reply = client.get_user(GetUserRequest::default()).await;
            reply.map(|user| user.into_inner().display_name).map_err(|status| status.code())
        };
        self.clients.iter().cloned().map(call).collect()
    }
}

#[test]
fn connections_are_spread_over_the_threads() {
    Workers::block_on(NonZero::new(3), async |workers| {
        let running = Running::start(workers, 100, 9).await;
        running.go.add_permits(9);
        let threads: Vec<_> = running.call_all().map(Result::unwrap).collect().await;
        let mut connections = HashMap::<String, usize>::new();
        for thread in threads {
            *connections.entry(thread).or_default() += 1;
        }
        assert_eq!(connections.values().collect::<Vec<_>>(), [&3; 3], "{connections:?}");
        assert!(connections.contains_key(&this_thread()), "the main thread is one of them");
    });
}

#[test]
fn the_limit_is_of_all_threads_together() {
    Workers::block_on(NonZero::new(3), async |workers| {
        let running = Running::start(workers, 4, 9).await;
        let mut replies = running.call_all();
        // Four, and a quarter more for callers that have none.
        let refused: Vec<_> = replies.by_ref().take(4).collect().await;
        assert_eq!(refused, vec![Err(Code::ResourceExhausted); 4]);
        running.go.add_permits(5);
        let answered: Vec<_> = replies.collect().await;
        assert!(answered.len() == 5 && answered.iter().all(Result::is_ok), "{answered:?}");
    });
}

#[test]
fn the_drain_waits_for_the_calls_of_all_threads() {
    Workers::block_on(NonZero::new(3), async |workers| {
        let mut running = Running::start(workers, 100, 6).await;
        let replies = tokio::spawn(running.call_all().collect::<Vec<_>>());
        for _ in 0..6 {
            timeout(LONG, running.begun.recv()).await.expect("it begins").unwrap();
        }
        running.stop.send(()).unwrap();
        running.go.add_permits(6);
        assert!(replies.await.unwrap().iter().all(Result::is_ok));
        timeout(LONG, running.ended).await.expect("with the last call").unwrap().unwrap();
    });
}

fn this_thread() -> String {
    format!("{:?}", thread::current().id())
}
