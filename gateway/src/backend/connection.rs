//! One HTTP/2 connection to a replica.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures::future::{BoxFuture, poll_fn};
use http::{Request, Response};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{net::TcpStream, task::JoinHandle};
use tonic::body::Body;
use tower::{BoxError, Service};

use super::failure::Unsent;

/// How much of replies may be under way on one connection.
///
/// h2 drops a connection whose peer leaves many small frames unread, and counts them against the window: with the
/// default of 1 MiB a burst of thousands of replies is taken for an attack, and all of them are lost.
const CONNECTION_WINDOW: u32 = 64 << 20;

/// How many streams that ended by an error of ours a connection remembers in its whole life. By default h2 closes it
/// after 1,024, with every call on it, and cancelling siblings, hedges and late calls gets there.
const MAX_ERROR_RESETS: usize = 1 << 31;

/// How many streams we reset may be remembered for a moment, so that what the peer still sends for them is not taken
/// for a fault.
const MAX_RESET_STREAMS: usize = 10_000;

/// How connections are made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Transport {
    /// How long connecting may take.
    pub(super) connect_timeout: Duration,
    /// How often the peer is asked whether it is there.
    pub(super) keepalive: Duration,
    /// How long it may take to answer that.
    pub(super) keepalive_timeout: Duration,
}

/// Sends calls over one connection. Clones share it; it closes with the last of them, and with the calls on it.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    send: http2::SendRequest<Body>,
    max_streams: Arc<AtomicUsize>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("{0}")]
    Refused(#[from] io::Error),
    #[error("no answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
    #[error("{0}")]
    Handshake(#[from] hyper::Error),
}

// === impl Connection ===

impl Connection {
    /// Connects, and returns the task that drives the connection and ends with it.
    pub(super) async fn open(
        address: SocketAddr,
        transport: Transport,
    ) -> Result<(Self, JoinHandle<hyper::Result<()>>), ConnectError> {
        let connecting = async {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let (send, driver) = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .initial_connection_window_size(CONNECTION_WINDOW)
                .max_local_error_reset_streams(MAX_ERROR_RESETS)
                .max_concurrent_reset_streams(MAX_RESET_STREAMS)
                .keep_alive_interval(transport.keepalive)
                .keep_alive_timeout(transport.keepalive_timeout)
                .keep_alive_while_idle(true)
                .handshake(TokioIo::new(stream))
                .await?;
            Ok((send, driver))
        };
        let timeout = transport.connect_timeout;
        let (send, mut driver) =
            tokio::time::timeout(timeout, connecting).await.unwrap_or(Err(ConnectError::TimedOut(timeout)))?;
        let max_streams = Arc::new(AtomicUsize::new(driver.current_max_send_streams()));
        let seen = Arc::clone(&max_streams);
        let task = tokio::spawn(poll_fn(move |cx| {
            let ended = std::pin::Pin::new(&mut driver).poll(cx);
            // The peer says in its settings how many streams it takes, and may change its mind.
            seen.store(driver.current_max_send_streams(), Ordering::Relaxed);
            ended
        }));
        Ok((Self { send, max_streams }, task))
    }

    /// Whether it takes no more calls: it broke, or the peer said goodbye.
    pub(super) fn is_closed(&self) -> bool {
        self.send.is_closed()
    }

    /// How many calls the peer takes at once.
    pub(super) fn max_streams(&self) -> usize {
        self.max_streams.load(Ordering::Relaxed)
    }
}

impl Service<Request<Body>> for Connection {
    type Response = Response<Incoming>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Incoming>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        // A connection that is closed hands the call back as unsent.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let reply = self.send.try_send_request(request);
        Box::pin(async move {
            reply.await.map_err(|mut refused| match refused.take_message() {
                Some(_) => Box::new(Unsent(refused.into_error().into())) as BoxError,
                None => refused.into_error().into(),
            })
        })
    }
}
