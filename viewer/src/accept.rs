//! Accepts connections and serves HTTP on them, with bounds on what peers can hold.

use std::{
    convert::Infallible,
    io::{self, ErrorKind},
    net::SocketAddr,
    time::Duration,
};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    body::Body,
    connections::{Connection, Connections},
    preface::{self, PREFACE},
    throttle::Throttle,
};

/// How long a peer may take to send the head of a request. A silent connection is closed after it.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a peer may take to begin to speak HTTP/2, which has buffers for it from then on.
const PREFACE_TIMEOUT: Duration = Duration::from_secs(5);

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
    let (open, connections, failures) = (Connections::default(), TaskTracker::new(), Throttle::default());
    let cut_off = CancellationToken::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let own = Connection::new(cut_off.child_token());
                // Closed at once if all others are in use.
                let Some(entry) = open.admit(own.clone()) else { continue };
                let (service, shutdown) = (service.clone(), shutdown.clone());
                connections.spawn(async move {
                    tokio::select! {
                        () = own.is_cut_off() => {}
                        () = serve_connection(stream, peer, protocol, service, &own, shutdown) => {}
                    }
                    drop(entry);
                });
            }
            Err(error) if is_of_peer(&error) => {}
            Err(error) => {
                if let Some(others) = failures.allow() {
                    tracing::warn!(%error, others, "cannot accept a connection");
                }
                open.close_idle();
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

/// Returns whether accepting failed because of the peer, whose connection ended before it was accepted.
fn is_of_peer(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused)
}

async fn serve_connection(
    stream: TcpStream,
    peer: SocketAddr,
    protocol: Protocol,
    service: impl Answer,
    own: &Connection,
    shutdown: CancellationToken,
) {
    // Fails if the peer has left already.
    let _ = stream.set_nodelay(true);
    let own = own.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        let (service, in_use) = (service.clone(), own.begin());
        request.extensions_mut().insert(own.clone());
        async move { Ok::<_, Infallible>(service.answer(request).await.map(|body| in_use.until_sent(body))) }
    });
    // One macro in place of a trait: hyper's two connections share no trait.
    macro_rules! run {
        ($connection:expr) => {{
            let mut connection = std::pin::pin!($connection);
            let served = tokio::select! {
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
    let (mut read, write) = stream.into_split();
    if protocol == Protocol::Http2 {
        let begun = tokio::select! {
            () = shutdown.cancelled() => return,
            begun = timeout(PREFACE_TIMEOUT, preface::read(&mut read)) => begun,
        };
        match begun {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return tracing::debug!(%peer, %error, "connection ended"),
            Err(_) => return tracing::debug!(%peer, "connection ended: it was silent"),
        }
    }
    match protocol {
        Protocol::Http1 => run!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .max_buf_size(64 << 10)
                .serve_connection(TokioIo::new(tokio::io::join(read, write)), service)
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
                .serve_connection(TokioIo::new(tokio::io::join(PREFACE.chain(read), write)), service)
        ),
    }
}
