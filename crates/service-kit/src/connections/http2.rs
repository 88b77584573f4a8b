//! The limits of HTTP/2 on each connection.

use std::time::Duration;

use h2::Reason;
use hyper::server::conn::http2::Builder;
use hyper_util::rt::TokioTimer;
use rpc_layers::source;

/// How long a connection may be idle before the server sends a ping to find out whether the peer is still there.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// How many calls of one connection may be in flight. The client queues others.
const MAX_STREAMS: u32 = 1024;

/// How many calls of one connection may be reset before the server has accepted them.
///
/// h2 closes a connection with more (CVE-2023-44487). Its default of 20 is fewer than a fan-out that fails fast, or a
/// burst of short deadlines, resets at once: thousands. `fair_read` accepts calls after each 16 KiB, so that only calls
/// that are much smaller than those of gRPC's clients reach the limit.
const MAX_PENDING_ACCEPT_RESETS: usize = 1024;

/// How many streams of one connection may end with an error of this server, over the life of the connection. h2 closes
/// one with more (CVE-2025-8671).
const MAX_LOCAL_ERROR_RESETS: usize = 1024;

/// The flow-control window of a connection, in bytes: how much of unread requests one peer may have in our memory.
///
/// h2 closes a connection with too many small frames that are not read yet: one for each 512 bytes of this window. A burst
/// of calls is as many frames, until their tasks run.
const CONNECTION_WINDOW: u32 = 4 << 20;

/// Returns the settings of a connection whose calls run on this executor.
pub(super) fn builder<E: Clone>(executor: E) -> Builder<E> {
    let mut http2 = Builder::new(executor);
    http2
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE)
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(MAX_PENDING_ACCEPT_RESETS)
        .max_local_error_reset_streams(MAX_LOCAL_ERROR_RESETS)
        .initial_connection_window_size(CONNECTION_WINDOW);
    http2
}

/// Returns whether a connection ended because its peer exceeded one of h2's limits.
pub(super) fn is_abuse(error: &hyper::Error) -> bool {
    source::find::<h2::Error>(error).is_some_and(|h2| h2.is_library() && h2.reason() == Some(Reason::ENHANCE_YOUR_CALM))
}
