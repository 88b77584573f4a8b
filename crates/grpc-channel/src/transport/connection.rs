//! One HTTP/2 connection to an endpoint.
//!
//! Uses h2 directly: tonic's `Channel` exposes neither connection loss nor whether a failed call was sent, and hyper's
//! client keeps two tasks for each call in flight, a third of the call's memory.

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use coalesced_io::{CoalescedIo, Flusher};
use grpc_tls::{ClientTls, HandshakeError, ServerName};
use h2::{Ping, PingPong, client};
use http::Request;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    runtime::{Handle, Id},
    task::JoinHandle,
};
use tonic::Status;

use crate::{
    error::unsent,
    request_body::RequestBody,
    transport::request::{Sent, send},
};

/// How many bytes of one reply may be under way, and of all whole replies on one connection.
///
/// In a burst, connections read faster than the calls take up what was read. What exceeds the window stays at the backend
/// and not in our memory.
const WINDOW: u32 = 1 << 20;

/// How many replies that stream enlarge the connection's window by one of their own.
///
/// h2 gives a connection's window back only as calls read, so that a caller who does not read its stream would hold up
/// all others.
const MAX_STREAM_WINDOWS: usize = 64;

/// How much overhead unread small frames may cause, at 256 bytes a frame: 131,072 of them.
///
/// h2 closes a connection that exceeds this. Its default is half of the window. When a burst fills the window, servers send
/// the first byte of each reply as a frame of its own: h2 takes thousands of replies for an attack, and all are lost.
const SMALL_FRAMES: usize = 32 << 20;

/// How many streams that we reset h2 remembers for a moment, so that frames still arriving for them are no protocol error.
const MAX_RESET_STREAMS: usize = 10_000;

/// How connections are made.
#[derive(Clone, Debug)]
pub(crate) struct Transport {
    /// How long connecting may take.
    pub(crate) connect_timeout: Duration,
    /// How often the peer is pinged.
    pub(crate) keepalive: Duration,
    /// How long the peer may take to answer a ping.
    pub(crate) keepalive_timeout: Duration,
    /// With what TLS, and to a server of which name. `None` is without.
    pub(crate) tls: Option<(ClientTls, ServerName<'static>)>,
}

/// Sends calls over one connection. Clones share it; it closes when the last of them and the last call on it are gone.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    send: client::SendRequest<Bytes>,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    /// That of the driver.
    runtime: Id,
    closed: AtomicBool,
    max_streams: AtomicUsize,
    /// How many replies stream.
    streaming: AtomicUsize,
}

/// A reply that streams, and so enlarges its connection's window until it is dropped.
#[derive(Debug)]
pub(crate) struct StreamWindow(Arc<State>);

/// Why a connection was not opened, or why it ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectionError {
    #[error("{0}")]
    Refused(#[from] io::Error),
    #[error("it closed the connection")]
    Closed,
    #[error("no answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
    #[error("{0}")]
    Http2(#[from] h2::Error),
    #[error("{0}")]
    Tls(#[from] HandshakeError),
    #[error("it does not speak HTTP/2 without TLS: the URL has to begin with https:// if it speaks TLS")]
    NotHttp2(#[source] h2::Error),
}

/// The task that drives a connection, and ends with it.
pub(crate) type Driver = JoinHandle<Result<(), ConnectionError>>;

// === impl Connection ===

impl Connection {
    /// Connects, and waits until the peer has begun to speak HTTP/2. The runtime in which this runs drives the connection.
    pub(crate) async fn open(address: SocketAddr, transport: Transport) -> Result<(Self, Driver), ConnectionError> {
        let timeout = transport.connect_timeout;
        let connecting = async {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            match transport.tls.clone() {
                None => {
                    let io = CoalescedIo::with_read_buffer(stream);
                    Self::begin(io, transport).await.map_err(ConnectionError::without_tls)
                }
                // TLS has a buffer of its own for what it reads.
                Some((tls, name)) => Self::begin(CoalescedIo::new(tls.connect(&name, stream).await?), transport).await,
            }
        };
        tokio::time::timeout(timeout, connecting).await.unwrap_or(Err(ConnectionError::TimedOut(timeout)))
    }

    /// Begins to speak HTTP/2, and waits until the peer has.
    async fn begin<T>(
        (stream, mut flusher): (CoalescedIo<T>, Flusher<T>),
        transport: Transport,
    ) -> Result<(Self, Driver), ConnectionError>
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (send, mut connection) = client::Builder::new()
            .initial_max_send_streams(0)
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
        settings(&mut connection, &mut flusher).await?;
        let max_streams = AtomicUsize::new(connection.max_concurrent_send_streams());
        let (runtime, closed, streaming) = (Handle::current().id(), AtomicBool::new(false), AtomicUsize::new(0));
        let state = Arc::new(State { runtime, closed, max_streams, streaming });
        let pings = connection.ping_pong().expect("it is taken once");
        let seen = Arc::clone(&state);
        let driver = tokio::spawn(async move {
            let ended = tokio::select! {
                // First: if this thread was held up for a while, the answer to a ping is there, and was not read in time.
                biased;
                ended = drive(&mut connection, &mut flusher, &seen) => ended.map_err(ConnectionError::from),
                silent = keep_alive(pings, transport) => Err(silent),
            };
            seen.closed.store(true, Ordering::Relaxed);
            ended
        });
        Ok((Self { send, state }, driver))
    }

    /// Returns the runtime that drives the connection: the one in which it was opened.
    pub(crate) fn runtime(&self) -> Id {
        self.state.runtime
    }

    /// Returns whether the connection is known to accept no more calls: it broke, or the peer sent GOAWAY.
    pub(crate) fn is_closed(&self) -> bool {
        self.state.closed.load(Ordering::Relaxed)
    }

    /// Returns how many calls the peer accepts at once.
    pub(crate) fn max_streams(&self) -> usize {
        self.state.max_streams.load(Ordering::Relaxed)
    }

    /// Enlarges the connection's window for a reply that streams. Takes effect with the next frame.
    pub(crate) fn stream_window(&self) -> StreamWindow {
        self.state.streaming.fetch_add(1, Ordering::Relaxed);
        StreamWindow(Arc::clone(&self.state))
    }

    /// Sends a request.
    ///
    /// # Errors
    ///
    /// Returns the status of a call that was not sent, if the connection accepts no more.
    pub(crate) fn send(&mut self, request: Request<RequestBody>) -> Result<Sent, Status> {
        send(&mut self.send, request).map_err(|error| {
            // It may have learnt of the peer's GOAWAY before its driver told.
            self.state.closed.store(true, Ordering::Relaxed);
            unsent(error)
        })
    }
}

// === impl ConnectionError ===

impl ConnectionError {
    /// Adds what a peer that cannot be understood may speak instead.
    fn without_tls(self) -> Self {
        match self {
            Self::Http2(error) if error.is_library() => Self::NotHttp2(error),
            other => other,
        }
    }
}

// === impl StreamWindow ===

impl Drop for StreamWindow {
    fn drop(&mut self) {
        self.0.streaming.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Waits for the settings with which the peer begins. They say how many calls it takes at once: without them calls would
/// wait on this connection for a stream that another one has.
async fn settings<T>(
    connection: &mut client::Connection<CoalescedIo<T>, Bytes>,
    flusher: &mut Flusher<T>,
) -> Result<(), ConnectionError>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    poll_fn(|cx| match flusher.poll_turn(cx, |cx| Pin::new(&mut *connection).poll(cx)) {
        Poll::Ready(Ok(())) => Poll::Ready(Err(ConnectionError::Closed)),
        Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
        Poll::Pending if connection.max_concurrent_send_streams() > 0 => Poll::Ready(Ok(())),
        Poll::Pending => Poll::Pending,
    })
    .await
}

/// Drives the connection until it ends.
async fn drive<T>(
    connection: &mut client::Connection<CoalescedIo<T>, Bytes>,
    flusher: &mut Flusher<T>,
    state: &State,
) -> Result<(), h2::Error>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut window = WINDOW;
    poll_fn(|cx| {
        let wanted = connection_window(state.streaming.load(Ordering::Relaxed));
        if wanted != window {
            connection.set_target_window_size(wanted);
            window = wanted;
        }
        let ended = flusher.poll_turn(cx, |cx| Pin::new(&mut *connection).poll(cx));
        // The peer says in its settings how many streams it takes, and may change its mind.
        state.max_streams.store(connection.max_concurrent_send_streams(), Ordering::Relaxed);
        ended
    })
    .await
}

/// Returns the window of a connection on which so many replies stream.
fn connection_window(streaming: usize) -> u32 {
    let windows = 1 + streaming.min(MAX_STREAM_WINDOWS);
    WINDOW * u32::try_from(windows).expect("they are few")
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

#[cfg(test)]
mod tests;
