//! Accepts connections, and serves HTTP/2 on each of them until a graceful shutdown.
//!
//! tonic's own server is not used. It has a timer for `grpc-timeout` outside of every layer, which answers CANCELLED
//! where gRPC has `DEADLINE_EXCEEDED`, and which fires before the deadline layer's if the thread is suspended between the
//! two. It also spins while the process is out of file descriptors.

use std::{
    io::{self, ErrorKind},
    pin::pin,
    time::Duration,
};

use hyper::server::conn::http2;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::net::{TcpListener, TcpStream};
use tonic::service::Routes;

/// How long a connection may be idle before the server sends a ping to find out whether the peer is still there.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// How many calls of one connection may be reset before the server has accepted them.
///
/// h2 closes a connection with more (CVE-2023-44487). Its default of 20 is fewer than a fan-out that fails fast, or a
/// burst of short deadlines, resets at once.
const MAX_PENDING_ACCEPT_RESETS: usize = 10_000;

/// How many streams of one connection may end with an error of this server, over the life of the connection. h2 closes
/// it after 1,024 by default, with every call on it; callers that cancel many calls reach that.
const MAX_LOCAL_ERROR_RESETS: usize = 1 << 31;

/// The flow-control window of a connection, in bytes. h2 takes a peer whose many small frames it has not read yet for
/// an attacker, and compares them with this window: with the default of 1 MiB a burst of thousands of requests ends the
/// connection, and all calls on it.
const CONNECTION_WINDOW: u32 = 64 << 20;

/// How long to wait before the next connection is accepted when the process has no file descriptors left.
const ACCEPT_BACKOFF: Duration = Duration::from_secs(1);

/// Serves connections until `shutdown` ends, then waits until all of them have closed: each closes when it has no call
/// in flight.
///
/// Connections are tasks of their own. Dropping the future stops accepting them, and does not close them.
pub(crate) async fn serve(listener: TcpListener, routes: Routes, shutdown: impl Future<Output = ()>) {
    let (http2, connections) = (http2(), GracefulShutdown::new());
    let service = TowerToHyperService::new(routes.prepare());
    let mut shutdown = pin!(shutdown);
    loop {
        let stream = tokio::select! {
            () = &mut shutdown => break,
            stream = accept(&listener) => stream,
        };
        let connection = connections.watch(http2.serve_connection(TokioIo::new(stream), service.clone()));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = &error as &dyn std::error::Error, "a connection failed");
            }
        });
    }
    // Refuses connections during the drain.
    drop(listener);
    connections.shutdown().await;
}

fn http2() -> http2::Builder<TokioExecutor> {
    let mut http2 = http2::Builder::new(TokioExecutor::new());
    http2
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE)
        // The limit on requests in flight is the server's, not each connection's.
        .max_concurrent_streams(None)
        .max_pending_accept_reset_streams(MAX_PENDING_ACCEPT_RESETS)
        .max_local_error_reset_streams(MAX_LOCAL_ERROR_RESETS)
        .initial_connection_window_size(CONNECTION_WINDOW);
    http2
}

/// Waits for the next connection.
async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                if stream.set_nodelay(true).is_ok() {
                    return stream;
                }
            }
            Err(error) if is_of_peer(&error) => {}
            Err(error) => {
                tracing::warn!(%error, retry_after = ?ACCEPT_BACKOFF, "no connection can be accepted");
                tokio::time::sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
}

/// Returns whether accepting failed because of the peer, whose connection ended before it was accepted.
fn is_of_peer(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused)
}
