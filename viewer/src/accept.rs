//! Accepts connections and serves HTTP on them, with bounds on what peers can hold.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::body::Body;

/// How many connections a listener has open. A further one waits until another closes.
const MAX_CONNECTIONS: usize = 512;

/// How long a peer may take to send the head of a request. A silent connection is closed after it.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// How long requests in flight may take after the shutdown.
const DRAIN: Duration = Duration::from_secs(2);

/// How long to wait if no connection can be accepted, such as without a free file descriptor.
const ACCEPT_BACK_OFF: Duration = Duration::from_millis(100);

/// The version of HTTP on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// For browsers and OTLP over HTTP.
    Http1,
    /// For gRPC.
    Http2,
}

/// The connection of a request, among its extensions.
#[derive(Clone, Debug)]
pub(crate) struct Connection(CancellationToken);

/// Answers requests. Cloned for each connection.
pub(crate) trait Answer: Clone + Send + Sync + 'static {
    /// Returns the response: a failure is one too.
    fn answer(&self, request: Request<Incoming>) -> impl Future<Output = Response<Body>> + Send;
}

/// Serves connections until the shutdown, and then until their requests are answered, for at most two seconds.
pub(crate) async fn serve(
    listener: TcpListener,
    protocol: Protocol,
    service: impl Answer,
    shutdown: CancellationToken,
) {
    let (permits, connections) = (Arc::new(Semaphore::new(MAX_CONNECTIONS)), TaskTracker::new());
    let cut_off = CancellationToken::new();
    loop {
        let accepted = async {
            let permit = Arc::clone(&permits).acquire_owned().await.expect("the semaphore is not closed");
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (service, shutdown) = (service.clone(), shutdown.clone());
                let own = Connection(cut_off.child_token());
                connections.spawn(async move {
                    serve_connection(stream, peer, protocol, service, own, shutdown).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                sleep(ACCEPT_BACK_OFF).await;
            }
        }
    }
    drop(listener);
    connections.close();
    if timeout(DRAIN, connections.wait()).await.is_err() {
        cut_off.cancel();
        connections.wait().await;
    }
}

async fn serve_connection(
    stream: TcpStream,
    peer: SocketAddr,
    protocol: Protocol,
    service: impl Answer,
    own: Connection,
    shutdown: CancellationToken,
) {
    // Fails if the peer has left already.
    let _ = stream.set_nodelay(true);
    let io = TokioIo::new(stream);
    let cut_off = own.0.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        let service = service.clone();
        request.extensions_mut().insert(own.clone());
        async move { Ok::<_, Infallible>(service.answer(request).await) }
    });
    // One macro in place of a trait: hyper's two connections share no trait.
    macro_rules! run {
        ($connection:expr) => {{
            let mut connection = std::pin::pin!($connection);
            let served = tokio::select! {
                () = cut_off.cancelled() => return,
                served = connection.as_mut() => served,
                () = shutdown.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = served {
                // The peer's doing: it left, was silent, or sent no HTTP.
                tracing::debug!(%peer, %error, "connection ended");
            }
        }};
    }
    match protocol {
        Protocol::Http1 => run!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .max_buf_size(64 << 10)
                .serve_connection(io, service)
        ),
        Protocol::Http2 => run!(
            http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .keep_alive_interval(Duration::from_secs(30))
                .keep_alive_timeout(Duration::from_secs(10))
                .max_concurrent_streams(128)
                .max_header_list_size(16 << 10)
                .initial_stream_window_size(1 << 20)
                .initial_connection_window_size(4 << 20)
                .max_pending_accept_reset_streams(200)
                .max_local_error_reset_streams(1024)
                .serve_connection(io, service)
        ),
    }
}

// === impl Connection ===

impl Connection {
    /// Closes the connection, whatever is on it.
    pub(crate) fn cut_off(&self) {
        self.0.cancel();
    }
}
