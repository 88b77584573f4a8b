//! Limits on connections, over real sockets.

#![allow(clippy::unwrap_used, reason = "clippy knows tests by their attribute alone")]

use std::{
    convert::Infallible,
    future::ready,
    net::SocketAddr,
    time::{Duration, Instant},
};

use futures::stream;
use service_kit::{
    process,
    serve::{ConnectionLimits, Server, ServerLimits},
    settings::Listen,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};
use tonic_health::pb::FILE_DESCRIPTOR_SET;

/// More than anything takes.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The preface of HTTP/2, and an empty SETTINGS frame.
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A running server without services: it answers health checks.
struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

impl Running {
    async fn start(connections: ConnectionLimits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let drain = Duration::from_mins(10);
        let limits = ServerLimits {
            deadline: TIMEOUT,
            drain,
            max_in_flight: 1,
            max_share: 25,
            rate: None,
            body_timeout: Duration::from_secs(5),
            connections,
        };
        let server = Server::new(FILE_DESCRIPTOR_SET, limits, None);
        let (stop, stopped) = oneshot::channel();
        let stopped =
            Box::pin(futures::StreamExt::chain(stream::once(async { stopped.await.unwrap() }), stream::pending()));
        let ended = tokio::spawn(async move {
            server.serve(listener, ready(Ok::<_, Infallible>(())), stopped).await.unwrap();
        });
        Self { address, stop, ended }
    }
}

/// Waits until the server closes the connection.
async fn closed(connection: &mut TcpStream) {
    let all = timeout(TIMEOUT, async { while !matches!(connection.read(&mut [0; 1024]).await, Ok(0) | Err(_)) {} });
    all.await.expect("the server closes the connection");
}

/// Waits until the server has sent something.
async fn greeted(connection: &mut TcpStream) {
    connection.write_all(HELLO).await.unwrap();
    let greeting = timeout(TIMEOUT, connection.read(&mut [0; 1024])).await;
    assert!(greeting.expect("the server speaks HTTP/2").unwrap() > 0);
}

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
}

/// A call that does not end: `Watch` of health, as the first one of a connection.
fn watch() -> Vec<u8> {
    const PATH: &[u8] = b"/grpc.health.v1.Health/Watch";
    const TYPE: &[u8] = b"application/grpc";
    // POST, http, and two literals with names of HPACK's static table: `:path` and `content-type`.
    let headers = [&[0x83, 0x86, 0x04, 28], PATH, &[0x0f, 0x10, 16], TYPE].concat();
    [frame(1, 0x4, 1, &headers), frame(0, 0x1, 1, &[0; 5])].concat()
}

/// Returns the kinds of all frames that the server sends until it closes the connection.
async fn kinds(connection: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = timeout(TIMEOUT, connection.read_to_end(&mut bytes)).await;
    read.expect("the server closes the connection").unwrap();
    let (mut kinds, mut rest) = (Vec::new(), &*bytes);
    while let [a, b, c, kind, _, _, _, _, _, after @ ..] = rest {
        kinds.push(*kind);
        rest = &after[u32::from_be_bytes([0, *a, *b, *c]) as usize..];
    }
    kinds
}

/// An idle connection that gives way is told which of its calls are served: its first one may be on the way.
#[tokio::test]
async fn a_connection_that_gives_way_is_closed_gracefully_and_soon() {
    const GOAWAY: u8 = 7;
    let limits = ConnectionLimits { max: 1, max_age_grace: Duration::from_mins(10), ..ConnectionLimits::default() };
    let running = Running::start(limits).await;
    for call in [Vec::new(), watch()] {
        let mut idle = TcpStream::connect(running.address).await.unwrap();
        greeted(&mut idle).await;
        let mut new = TcpStream::connect(running.address).await.unwrap();
        greeted(&mut new).await;
        // Whether there is a call then or not: its time does not depend on that.
        idle.write_all(&call).await.unwrap();
        assert!(kinds(&mut idle).await.contains(&GOAWAY));
    }
}

#[tokio::test]
async fn connections_above_the_limit_are_closed() {
    let running = Running::start(ConnectionLimits { max: 2, ..ConnectionLimits::default() }).await;
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut connection = TcpStream::connect(running.address).await.unwrap();
        greeted(&mut connection).await;
        open.push(connection);
    }
    closed(&mut TcpStream::connect(running.address).await.unwrap()).await;
    drop(open);
    let place_is_free = timeout(TIMEOUT, async {
        loop {
            let mut connection = TcpStream::connect(running.address).await.unwrap();
            let _ = connection.write_all(HELLO).await;
            if matches!(connection.read(&mut [0; 1024]).await, Ok(1..)) {
                return;
            }
        }
    });
    place_is_free.await.expect("closed connections leave their places");
}

#[tokio::test]
async fn what_is_not_http2_is_closed_at_once() {
    let running = Running::start(ConnectionLimits::default()).await;
    let mut connection = TcpStream::connect(running.address).await.unwrap();
    let begun = Instant::now();
    connection.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    closed(&mut connection).await;
    assert!(begun.elapsed() < Duration::from_secs(4), "it does not wait for a whole preface: {:?}", begun.elapsed());
}

/// A connection is closed gracefully at its age: GOAWAY without an error. One that does not answer is closed too.
#[tokio::test]
async fn an_old_connection_is_closed() {
    let age = Duration::from_millis(300);
    let limits = ConnectionLimits { max_age: Some(age), max_age_grace: age, ..ConnectionLimits::default() };
    let running = Running::start(limits).await;
    let mut silent = TcpStream::connect(running.address).await.unwrap();
    greeted(&mut silent).await;
    let begun = Instant::now();
    let stream = TcpStream::connect(running.address).await.unwrap();
    let (_open, connection) = h2::client::handshake(stream).await.unwrap();
    timeout(TIMEOUT, connection).await.expect("it is too old").unwrap();
    assert!(begun.elapsed() >= age * 8 / 10, "{:?}", begun.elapsed());
    closed(&mut silent).await;
}

/// Neither connections that have sent nothing, nor those that no longer answer, use up the drain.
#[tokio::test]
async fn silent_connections_are_closed_when_the_server_drains() {
    let running = Running::start(ConnectionLimits::default()).await;
    let _sent_nothing = TcpStream::connect(running.address).await.unwrap();
    let mut hangs = TcpStream::connect(running.address).await.unwrap();
    greeted(&mut hangs).await;
    running.stop.send(()).unwrap();
    timeout(TIMEOUT, running.ended).await.expect("the drain of ten minutes is not used up").unwrap();
}

/// Callers that connect at once wait in the operating system's queue. The next one would be let in only by the next try,
/// after a second.
#[tokio::test]
async fn a_burst_of_callers_waits_to_be_accepted() {
    let listener = process::bind(Listen::Address("127.0.0.1:0".parse().unwrap())).await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    for _ in 0..400 {
        let connecting = timeout(TIMEOUT, TcpStream::connect(address)).await;
        waiting.push(connecting.expect("the queue has room").unwrap());
    }
}
