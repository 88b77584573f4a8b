//! One HTTP/2 connection to a replica.
//!
//! By h2 itself, which tonic and hyper drive too: their channels tell neither that a connection has ended, nor whether a
//! call left before it did, and they keep two tasks for each call in flight, which were a third of its memory.

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::{
    FutureExt as _, TryFutureExt as _,
    future::{BoxFuture, ready},
};
use h2::{Ping, PingPong, client};
use http::{Request, Response};
use tokio::{net::TcpStream, task::JoinHandle};
use tonic::Status;
use tower::Service;

use crate::{
    error::{lost, unsent},
    transport::framing::{Reply, collect_reply, start_unary},
};

/// How many bytes of replies may be under way on one connection, of one reply or of many.
///
/// In a burst the connections read faster than the requests that wait for it take it up: what does not fit stays at the
/// backend, and not in our memory.
const WINDOW: u32 = 1 << 20;

/// How much overhead small frames that nobody has read yet may cause, at 256 bytes a frame: 131,072 of them.
///
/// h2 closes a connection beyond that. By default it is half of the window, and where a burst fills that, servers send
/// the first byte of each reply as a frame of its own: thousands of replies are taken for an attack, and all are lost.
const SMALL_FRAMES: usize = 32 << 20;

/// How many streams we reset may be remembered for a moment, so that what the peer still sends for them is not taken
/// for a fault.
const MAX_RESET_STREAMS: usize = 10_000;

/// How connections are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transport {
    /// How long connecting may take.
    pub(crate) connect_timeout: Duration,
    /// How often the peer is inner whether it is there.
    pub(crate) keepalive: Duration,
    /// How long it may take to answer that.
    pub(crate) keepalive_timeout: Duration,
}

/// Sends calls over one connection. Clones share it; it closes with the last of them, and with the calls on it.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    send: client::SendRequest<Bytes>,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    closed: AtomicBool,
    max_streams: AtomicUsize,
}

/// Why there is no connection, or none any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectionError {
    #[error("{0}")]
    Refused(#[from] io::Error),
    #[error("no answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
    #[error("{0}")]
    Http2(#[from] h2::Error),
}

/// The task that drives a connection, and ends with it.
pub(crate) type Driver = JoinHandle<Result<(), ConnectionError>>;

// === impl Connection ===

impl Connection {
    /// Connects.
    pub(crate) async fn open(address: SocketAddr, transport: Transport) -> Result<(Self, Driver), ConnectionError> {
        let connecting = async {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let connected = client::Builder::new()
                .initial_connection_window_size(WINDOW)
                .initial_window_size(WINDOW)
                .data_frame_budget(SMALL_FRAMES)
                .max_concurrent_reset_streams(MAX_RESET_STREAMS)
                // By default h2 closes a connection after 1,024 streams that ended by an error of ours, with every call
                // on it: cancelling siblings, hedges and late calls gets there.
                .max_local_error_reset_streams(None)
                .enable_push(false)
                .handshake(stream)
                .await?;
            Ok(connected)
        };
        let timeout = transport.connect_timeout;
        let (send, mut connection) =
            tokio::time::timeout(timeout, connecting).await.unwrap_or(Err(ConnectionError::TimedOut(timeout)))?;
        let max_streams = AtomicUsize::new(connection.max_concurrent_send_streams());
        let state = Arc::new(State { closed: AtomicBool::new(false), max_streams });
        let pings = connection.ping_pong().expect("it is taken once");
        let seen = Arc::clone(&state);
        let driver = tokio::spawn(async move {
            let ended = tokio::select! {
                ended = drive(&mut connection, &seen) => ended.map_err(ConnectionError::from),
                silent = keep_alive(pings, transport) => Err(silent),
            };
            seen.closed.store(true, Ordering::Relaxed);
            ended
        });
        Ok((Self { send, state }, driver))
    }

    /// Whether it is known to take no more calls: it broke, or the peer said goodbye.
    pub(crate) fn is_closed(&self) -> bool {
        self.state.closed.load(Ordering::Relaxed)
    }

    /// How many calls the peer takes at once.
    pub(crate) fn max_streams(&self) -> usize {
        self.state.max_streams.load(Ordering::Relaxed)
    }

    /// Sends a call whose replies are read one by one.
    pub(crate) fn stream(&mut self, request: Request<Bytes>) -> Result<client::ResponseFuture, Status> {
        start_unary(&mut self.send, request).map_err(|error| {
            // It may have known of the peer's goodbye before us.
            self.state.closed.store(true, Ordering::Relaxed);
            unsent(error)
        })
    }
}

/// Drives the connection until it ends.
async fn drive(connection: &mut client::Connection<TcpStream, Bytes>, state: &State) -> Result<(), h2::Error> {
    poll_fn(|cx| {
        let ended = Pin::new(&mut *connection).poll(cx);
        // The peer says in its settings how many streams it takes, and may change its mind.
        state.max_streams.store(connection.max_concurrent_send_streams(), Ordering::Relaxed);
        ended
    })
    .await
}

/// Ends when the peer no longer answers.
async fn keep_alive(mut pings: PingPong, transport: Transport) -> ConnectionError {
    loop {
        tokio::time::sleep(transport.keepalive).await;
        match tokio::time::timeout(transport.keepalive_timeout, pings.ping(Ping::opaque())).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return error.into(),
            Err(_) => return ConnectionError::TimedOut(transport.keepalive_timeout),
        }
    }
}

/// A unary call: the answer is the whole reply.
impl Service<Request<Bytes>> for Connection {
    type Response = Response<Reply>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Response<Reply>, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        // A connection that is closed hands the call back as unsent.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        match self.stream(request) {
            // Room for the reading of the reply is made when there is a reply: until then thousands may wait.
            Ok(response) => response.map_err(lost).and_then(|head| collect_reply(head).boxed()).boxed(),
            Err(status) => ready(Err(status)).boxed(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use http_body::Body as _;
    use tokio::net::TcpListener;

    use super::*;

    /// As long as a reply may be: more than fits on a connection at a time.
    const LONG: usize = 4 << 20;

    /// A connection to a server that answers every call with so many zeros, and with the status of success.
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
        let transport = Transport { connect_timeout: second, keepalive: 60 * second, keepalive_timeout: 60 * second };
        Connection::open(address, transport).await.unwrap().0
    }

    async fn length(reply: Response<Reply>) -> usize {
        let mut body = pin!(reply.into_body());
        poll_fn(|cx| body.as_mut().poll_frame(cx)).await.unwrap().unwrap().into_data().unwrap().len()
    }

    #[tokio::test]
    async fn replies_larger_than_the_window_come_whole_beside_each_other() {
        let connection = connected(LONG).await;
        let replies = (0..8).map(|_| connection.clone().call(Request::new(Bytes::new())));
        for reply in futures::future::join_all(replies).await {
            assert_eq!(length(reply.unwrap()).await, LONG);
        }
    }

    #[tokio::test]
    async fn a_reply_that_nobody_waits_for_any_more_takes_no_room() {
        let mut connection = connected(LONG).await;
        let head = connection.stream(Request::new(Bytes::new())).unwrap().await.unwrap();
        let (mut body, mut received) = (head.into_body(), 0);
        // All of the connection's window is taken, and none of it given back.
        while received < WINDOW as usize {
            received += body.data().await.unwrap().unwrap().len();
        }
        drop(body);
        let next = tokio::time::timeout(Duration::from_secs(20), connection.call(Request::new(Bytes::new())));
        assert_eq!(length(next.await.expect("there is room for it").unwrap()).await, LONG);
    }
}
