//! Calls on one connection, over real sockets, with a client that has HTTP/2 in its hands.

#![allow(clippy::unwrap_used, reason = "clippy knows tests by their attribute alone")]

use std::{
    cell::Cell,
    convert::Infallible,
    future::{poll_fn, ready},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use fanout_proto::{
    FILE_DESCRIPTOR_SET,
    gateway::v1::{
        GetHomeCountryRequest, GetProfileRequest, StreamUsersRequest,
        spliced::{
            GetHomeCountryResponse, GetProfileResponse, StreamUsersResponse,
            gateway_service_server::{GatewayService, GatewayServiceServer},
        },
    },
    user::v1::{
        CreateUserRequest, GetUserRequest, ListUsersRequest, ListUsersResponse, User,
        user_service_server::{UserService, UserServiceServer},
    },
};
use futures::{Stream, StreamExt as _, future::join_all, stream};
use h2::{
    Reason, RecvStream,
    client::{ResponseFuture, SendRequest},
};
use http::{HeaderMap, Request as HttpRequest};
use prost::Message as _;
use service_kit::serve::{ConnectionLimits, Server, ServerLimits};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};
use tonic::{Request, Response, Status};

/// More than anything takes.
const TIMEOUT: Duration = Duration::from_mins(1);

/// Longer than every window of the client, and than a frame.
const LARGE: usize = 1 << 20;

/// What the handlers of a test do.
#[derive(Clone)]
struct Handlers {
    /// Lets calls of `wait` go on.
    go: Arc<Semaphore>,
    begun: mpsc::UnboundedSender<()>,
    dropped: mpsc::UnboundedSender<()>,
}

/// A running server.
struct Running {
    address: SocketAddr,
    go: Arc<Semaphore>,
    begun: mpsc::UnboundedReceiver<()>,
    dropped: mpsc::UnboundedReceiver<()>,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

/// Tells when it is dropped.
struct Guard(mpsc::UnboundedSender<()>);

/// The connection of a client.
struct Client {
    requests: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
}

async fn start() -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let limits = ServerLimits {
        deadline: TIMEOUT,
        drain: TIMEOUT,
        max_in_flight: 4096,
        max_share: 100,
        rate: None,
        body_timeout: TIMEOUT,
        connections: ConnectionLimits::default(),
    };
    let go = Arc::new(Semaphore::new(0));
    let ((begun, hear_begun), (dropped, hear_dropped)) = (mpsc::unbounded_channel(), mpsc::unbounded_channel());
    let handlers = Handlers { go: Arc::clone(&go), begun, dropped };
    let server = Server::new(FILE_DESCRIPTOR_SET, limits, None)
        .service(UserServiceServer::new(handlers.clone()))
        .service(GatewayServiceServer::new(handlers));
    let (stop, stopped) = oneshot::channel();
    let shutdown = Box::pin(stream::once(async { stopped.await.unwrap() }).chain(stream::pending()));
    let ended = tokio::spawn(async { server.serve(listener, ready(Ok::<_, Infallible>(())), shutdown).await.unwrap() });
    Running { address, go, begun: hear_begun, dropped: hear_dropped, stop, ended }
}

// === impl Handlers ===

#[tonic::async_trait]
impl UserService for Handlers {
    async fn get_user(&self, request: Request<GetUserRequest>) -> Result<Response<User>, Status> {
        match &*request.into_inner().user_id {
            "large" => return Ok(Response::new(User { display_name: "x".repeat(LARGE), ..User::default() })),
            "panic" => panic!("a handler of this test panics"),
            "wait" => {
                let _guard = Guard(self.dropped.clone());
                self.begun.send(()).unwrap();
                self.go.acquire().await.unwrap().forget();
            }
            _ => {}
        }
        Ok(Response::new(User::default()))
    }

    async fn list_users(&self, _: Request<ListUsersRequest>) -> Result<Response<ListUsersResponse>, Status> {
        Err(Status::unimplemented("not needed"))
    }

    async fn create_user(&self, _: Request<CreateUserRequest>) -> Result<Response<User>, Status> {
        Err(Status::unimplemented("not needed"))
    }
}

#[tonic::async_trait]
impl GatewayService for Handlers {
    type StreamUsersStream = Pin<Box<dyn Stream<Item = Result<StreamUsersResponse, Status>> + Send>>;

    async fn get_profile(&self, _: Request<GetProfileRequest>) -> Result<Response<GetProfileResponse>, Status> {
        Err(Status::unimplemented("not needed"))
    }

    async fn get_home_country(
        &self,
        _: Request<GetHomeCountryRequest>,
    ) -> Result<Response<GetHomeCountryResponse>, Status> {
        Err(Status::unimplemented("not needed"))
    }

    /// Sends a message, and panics.
    async fn stream_users(&self, _: Request<StreamUsersRequest>) -> Result<Response<Self::StreamUsersStream>, Status> {
        let messages = (0..).map(|number| match number {
            0 => Ok(StreamUsersResponse::default()),
            _ => panic!("a reply of this test panics"),
        });
        Ok(Response::new(Box::pin(stream::iter(messages))))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // The test may have ended.
        let _ = self.0.send(());
    }
}

// === impl Client ===

impl Client {
    /// Connects with so large a window for each reply.
    async fn connect(address: SocketAddr, window: u32) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut settings = h2::client::Builder::new();
        // A burst of small replies is more than h2 takes with its own window.
        settings.initial_window_size(window).initial_connection_window_size(4 << 20);
        let (requests, connection) = settings.handshake(stream).await.unwrap();
        Self { requests, connection: tokio::spawn(connection) }
    }

    /// Makes a call of `GetUser`.
    async fn get(&self, user_id: &str) -> (ResponseFuture, h2::SendStream<Bytes>) {
        self.call("/fanout.user.v1.UserService/GetUser", &GetUserRequest { user_id: user_id.into() }.encode_to_vec())
            .await
    }

    async fn call(&self, path: &str, message: &[u8]) -> (ResponseFuture, h2::SendStream<Bytes>) {
        let mut requests = self.requests.clone().ready().await.unwrap();
        let request = HttpRequest::post(format!("http://service{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .unwrap();
        let (response, mut body) = requests.send_request(request, false).unwrap();
        body.send_data(framed(message), true).unwrap();
        (response, body)
    }
}

/// Returns a message with gRPC's prefix.
fn framed(message: &[u8]) -> Bytes {
    [&[0], &u32::try_from(message.len()).unwrap().to_be_bytes()[..], message].concat().into()
}

/// Reads a reply to its end. Returns the length of its data, and its status.
async fn read(response: ResponseFuture) -> (usize, String) {
    let (head, mut body) = timeout(TIMEOUT, response).await.expect("an answer").unwrap().into_parts();
    let mut length = 0;
    while let Some(data) = timeout(TIMEOUT, body.data()).await.expect("more of the reply") {
        let data = data.unwrap();
        length += data.len();
        body.flow_control().release_capacity(data.len()).unwrap();
    }
    let trailers = body.trailers().await.unwrap().unwrap_or(head.headers);
    (length, status(&trailers))
}

fn status(trailers: &HeaderMap) -> String {
    trailers["grpc-status"].to_str().unwrap().to_owned()
}

/// Waits until the server has ended this reply. Returns how.
async fn reset(mut body: RecvStream) -> Option<Reason> {
    while let Some(data) = timeout(TIMEOUT, body.data()).await.expect("the server ends the reply") {
        if let Err(error) = data {
            return error.reason();
        }
    }
    None
}

async fn heard(events: &mut mpsc::UnboundedReceiver<()>, what: &str) {
    timeout(TIMEOUT, events.recv()).await.expect(what).unwrap();
}

#[tokio::test]
async fn replies_larger_than_the_window_come_whole_as_they_are_read() {
    let running = start().await;
    for window in [1, 999, 65_535] {
        let client = Client::connect(running.address, window).await;
        // With a window of a byte each byte is a frame: one reply is enough then.
        let calls = if window == 1 { 1 } else { 8 };
        let replies: Vec<_> = join_all((0..calls).map(|_| client.get("large"))).await;
        let replies = replies.into_iter().map(|(response, _)| async {
            let (head, mut body) = response.await.unwrap().into_parts();
            assert_eq!(head.status, 200);
            let mut length = 0;
            while window > 1 || length < 99 {
                let Some(data) = timeout(TIMEOUT, body.data()).await.expect("more of the reply") else { break };
                let data = data.unwrap();
                assert!(data.len() <= window as usize);
                length += data.len();
                body.flow_control().release_capacity(data.len()).unwrap();
            }
            if window > 1 {
                assert!(length > LARGE, "{length}");
                assert_eq!(status(&body.trailers().await.unwrap().unwrap()), "0");
            }
        });
        join_all(replies).await;
    }
}

#[tokio::test]
async fn a_reply_that_is_not_read_keeps_no_other_one_back() {
    let running = start().await;
    let client = Client::connect(running.address, 9).await;
    let (unread, _sent) = client.get("large").await;
    let unread = unread.await.unwrap();
    for _ in 0..9 {
        assert_eq!(read(client.get("").await.0).await, (5, "0".into()));
    }
    drop(unread);
}

#[tokio::test]
async fn a_call_that_is_reset_drops_its_handler() {
    let mut running = start().await;
    let client = Client::connect(running.address, 65_535).await;
    let (_response, mut sent) = client.get("wait").await;
    heard(&mut running.begun, "the handler begins").await;
    assert!(running.dropped.try_recv().is_err());
    sent.send_reset(Reason::CANCEL);
    heard(&mut running.dropped, "the handler is dropped").await;
    assert_eq!(read(client.get("").await.0).await.1, "0", "the connection goes on");
}

#[tokio::test]
async fn handlers_are_dropped_with_their_connection() {
    let mut running = start().await;
    let client = Client::connect(running.address, 65_535).await;
    let _calls = join_all((0..9).map(|_| client.get("wait"))).await;
    for _ in 0..9 {
        heard(&mut running.begun, "the handler begins").await;
    }
    client.connection.abort();
    for _ in 0..9 {
        heard(&mut running.dropped, "the handler is dropped").await;
    }
}

#[tokio::test]
async fn a_handler_that_panics_leaves_the_other_calls_alone() {
    let mut running = start().await;
    let client = Client::connect(running.address, 65_535).await;
    let (waits, _sent) = client.get("wait").await;
    heard(&mut running.begun, "the handler begins").await;
    assert_eq!(read(client.get("panic").await.0).await, (0, "13".into()));
    let (streams, _sent) = client.call("/fanout.gateway.v1.GatewayService/StreamUsers", &[]).await;
    // A reset overtakes what has not been written yet.
    let reason = match streams.await {
        Ok(response) => reset(response.into_body()).await,
        Err(error) => error.reason(),
    };
    assert_eq!(reason, Some(Reason::INTERNAL_ERROR));
    running.go.add_permits(1);
    assert_eq!(read(waits).await.1, "0");
}

/// All of it on one thread: a connection that did not let others have their turn would be seen.
#[tokio::test]
async fn thousands_of_calls_on_one_connection_leave_room_for_another_one() {
    let running = start().await;
    let (greedy, honest) =
        (Client::connect(running.address, 65_535).await, Client::connect(running.address, 65_535).await);
    let answered = Cell::new(0);
    let all = async {
        let calls = (0..1000).map(|_| async {
            for _ in 0..10 {
                assert_eq!(read(greedy.get("").await.0).await.1, "0");
                answered.set(answered.get() + 1);
            }
        });
        join_all(calls).await;
    };
    // How many of the other calls are answered at most while an honest one is.
    let few = async {
        let mut most = 0;
        for _ in 0..20 {
            let before = answered.get();
            assert_eq!(read(honest.get("").await.0).await.1, "0");
            most = most.max(answered.get() - before);
        }
        most
    };
    let ((), most) = tokio::join!(all, few);
    assert!(most < 2_500, "an honest call took as long as {most} of ten thousand others");
}

#[tokio::test]
async fn calls_in_flight_finish_when_the_server_drains() {
    let mut running = start().await;
    let mut client = Client::connect(running.address, 65_535).await;
    let waiting = join_all((0..9).map(|_| client.get("wait"))).await;
    for _ in 0..9 {
        heard(&mut running.begun, "the handler begins").await;
    }
    running.stop.send(()).unwrap();
    // The client is told to make no more.
    let told = timeout(TIMEOUT, async {
        while poll_fn(|cx| client.requests.poll_ready(cx)).await.is_ok() {
            tokio::task::yield_now().await;
        }
    });
    told.await.expect("the server says GOAWAY");
    running.go.add_permits(9);
    for (response, _sent) in waiting {
        assert_eq!(read(response).await.1, "0");
    }
    drop(client.requests);
    timeout(TIMEOUT, client.connection).await.expect("the connection closes").unwrap().unwrap();
    timeout(TIMEOUT, running.ended).await.expect("the drain ends").unwrap();
}

#[tokio::test]
async fn a_call_on_its_way_is_answered_whatever_comes_of_its_neighbours() {
    let mut running = start().await;
    let client = Client::connect(running.address, 65_535).await;
    let (waits, _sent) = client.get("wait").await;
    heard(&mut running.begun, "the handler begins").await;
    for _ in 0..2000 {
        let (response, mut sent) = client.get("").await;
        sent.send_reset(Reason::CANCEL);
        drop(response);
    }
    running.go.add_permits(1);
    assert_eq!(read(waits).await.1, "0");
}
