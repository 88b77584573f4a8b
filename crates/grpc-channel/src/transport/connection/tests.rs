use std::{
    io::{Read as _, Write as _},
    pin::pin,
    sync::mpsc,
};

use bytes::Bytes;
use http::{Response, Uri, uri::PathAndQuery};
use http_body::Body;
use tokio::net::TcpListener;
use tower::Service;

use super::*;
use crate::transport::{
    request::request,
    response::{StreamedReplies, WholeReplies},
};

const MINUTE: Duration = Duration::from_mins(1);

/// As long as a reply may be: more than fits on a connection at a time.
const LONG: usize = 4 << 20;

/// Connects to a server that replies to every call with so many zeros, and with the status of success.
async fn connected(length: usize) -> Connection {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut server = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((_, mut respond))) = server.accept().await {
            let head = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
            let mut body = respond.send_response(head, false).unwrap();
            body.send_data(vec![0; length].into(), false).unwrap();
            body.send_trailers(http::HeaderMap::from_iter([("grpc-status".parse().unwrap(), 0.into())])).unwrap();
        }
    });
    let second = Duration::from_secs(1);
    let transport =
        Transport { connect_timeout: second, keepalive: 60 * second, keepalive_timeout: 60 * second, tls: None };
    Connection::open(address, transport).await.unwrap().0
}

/// Makes calls whose caller does not want the headers.
fn whole_replies(connection: Connection) -> WholeReplies {
    WholeReplies { connection, keeps_headers: false }
}

fn any_request() -> Request<RequestBody> {
    let (origin, path) = (Uri::from_static("http://localhost"), PathAndQuery::from_static("/a/b"));
    request(&origin, &path, http::HeaderMap::new(), RequestBody::Whole(Bytes::new()))
}

async fn next_data(body: &mut (impl Body<Data = Bytes, Error = Status> + Unpin)) -> usize {
    poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await.unwrap().unwrap().into_data().unwrap().len()
}

#[tokio::test]
async fn replies_larger_than_the_window_come_whole_beside_each_other() {
    let connection = connected(LONG).await;
    let replies = (0..8).map(|_| whole_replies(connection.clone()).call(any_request()));
    for reply in futures::future::join_all(replies).await {
        assert_eq!(next_data(&mut pin!(reply.unwrap().into_body())).await, LONG);
    }
}

#[tokio::test]
async fn a_reply_that_waits_for_its_rest_keeps_headers_only_for_a_caller_who_wants_them() {
    for keeps_headers in [true, false] {
        let connection = connected(LONG).await;
        let reply = WholeReplies { connection, keeps_headers }.call(any_request()).await.unwrap();
        assert_eq!(reply.headers().contains_key("content-type"), keeps_headers);
    }
}

#[tokio::test]
async fn a_reply_that_nobody_waits_for_any_more_takes_no_room() {
    let connection = connected(LONG).await;
    let mut unread = connection.clone();
    let head = unread.send(any_request()).unwrap().response.await.unwrap();
    let (mut body, mut received) = (head.into_body(), 0);
    // All of the connection's window is taken, and none of it given back.
    while received < WINDOW as usize {
        received += body.data().await.unwrap().unwrap().len();
    }
    drop(body);
    let next = tokio::time::timeout(Duration::from_secs(20), whole_replies(connection).call(any_request()));
    assert_eq!(next_data(&mut pin!(next.await.expect("there is room for it").unwrap().into_body())).await, LONG);
}

#[tokio::test]
async fn a_reply_that_streams_gives_back_its_room_as_it_is_read() {
    let mut body = StreamedReplies(connected(LONG).await).call(any_request()).await.unwrap().into_body();
    let mut received = 0;
    while received < LONG {
        received += next_data(&mut body).await;
    }
    let trailers = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(trailers["grpc-status"], "0");
    assert!(body.is_end_stream());
}

/// A call before that may be sent to a peer that has no room for it.
#[tokio::test]
async fn a_connection_is_open_when_it_knows_how_many_streams_it_has() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let transport = Transport { connect_timeout: MINUTE, keepalive: MINUTE, keepalive_timeout: MINUTE, tls: None };
    let mut opening = pin!(Connection::open(address, transport));
    let (stream, _) = tokio::select! {
        _ = &mut opening => panic!("open before the peer has said anything"),
        accepted = listener.accept() => accepted.unwrap(),
    };
    let mut settings = h2::server::Builder::new();
    let server = settings.max_concurrent_streams(3).handshake::<_, Bytes>(stream);
    let (opened, server) = tokio::join!(opening, server);
    assert_eq!(opened.unwrap().0.max_streams(), 3);
    drop(server.unwrap());
}

#[tokio::test]
async fn a_peer_that_says_nothing_is_not_connected_to() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let timeout = Duration::from_millis(100);
    let transport = Transport { connect_timeout: timeout, keepalive: MINUTE, keepalive_timeout: MINUTE, tls: None };
    let error = Connection::open(address, transport).await.unwrap_err();
    assert_eq!(error.to_string(), "no answer within 100 ms");
}

/// Accepts a connection and answers its settings; and each ping, when it gets what to drop after that.
fn answer_pings(
    listener: &std::net::TcpListener,
    pings: &mpsc::Sender<mpsc::Sender<mpsc::Sender<()>>>,
) -> io::Result<()> {
    const SETTINGS: u8 = 4;
    const PING: u8 = 6;
    const ACK: u8 = 1;
    let (mut stream, _) = listener.accept()?;
    stream.read_exact(&mut [0; b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len()])?;
    stream.write_all(&[0, 0, 0, SETTINGS, 0, 0, 0, 0, 0])?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head)?;
        let mut payload = vec![0; usize::from(head[2])];
        stream.read_exact(&mut payload)?;
        match (head[3], head[4]) {
            (SETTINGS, 0) => stream.write_all(&[0, 0, 0, SETTINGS, ACK, 0, 0, 0, 0])?,
            (PING, 0) => {
                let (answer, told) = mpsc::channel();
                // The test is over if nobody listens.
                let (Ok(()), Ok(answered)) = (pings.send(answer), told.recv()) else { return Ok(()) };
                head[4] = ACK;
                stream.write_all(&[&head, &payload[..]].concat())?;
                drop(answered);
            }
            _ => {}
        }
    }
}

/// What holds up the thread may be a handler that computes.
#[tokio::test]
async fn a_ping_that_was_answered_while_the_thread_was_held_up_was_answered_in_time() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, pings) = mpsc::channel();
    std::thread::spawn(move || answer_pings(&listener, &sender));
    let (keepalive, keepalive_timeout) = (Duration::from_millis(1), Duration::from_millis(500));
    let transport = Transport { connect_timeout: MINUTE, keepalive, keepalive_timeout, tls: None };
    let connection = Connection::open(address, transport).await.unwrap().0;
    for nth in 0..6 {
        let answer = loop {
            assert!(!connection.is_closed(), "after {nth} pings");
            match pings.try_recv() {
                Ok(answer) => break answer,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        let (sender, answered) = mpsc::channel();
        answer.send(sender).unwrap();
        answered.recv().unwrap_err();
        // It is there, and nobody reads it before it is late.
        std::thread::sleep(keepalive_timeout + Duration::from_millis(50));
    }
}
