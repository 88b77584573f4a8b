//! The limits of HTTP/2 on each connection, and how one fails.

use h2::{Reason, server::Builder};

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
/// of calls is as many frames, until they run.
const CONNECTION_WINDOW: u32 = 4 << 20;

/// The flow-control window of a call, in bytes.
const STREAM_WINDOW: u32 = 1 << 20;

/// The largest frame that a peer may send, in bytes.
const MAX_FRAME: u32 = 16 << 10;

/// The longest headers of a request, in bytes, as HTTP/2 counts them. h2 answers longer ones with the HTTP status 431.
const MAX_HEADERS: u32 = 16 << 10;

/// How much of a reply may wait to be written, in bytes.
const MAX_SEND_BUFFER: usize = 400 << 10;

/// Why a connection failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionError {
    #[error(transparent)]
    Http2(#[from] h2::Error),
    #[error("its peer did not answer a ping")]
    Unanswered,
}

/// Returns the settings of a connection.
pub(super) fn builder() -> Builder {
    let mut http2 = Builder::new();
    http2
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(MAX_PENDING_ACCEPT_RESETS)
        .max_local_error_reset_streams(Some(MAX_LOCAL_ERROR_RESETS))
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_window_size(STREAM_WINDOW)
        .max_frame_size(MAX_FRAME)
        .max_header_list_size(MAX_HEADERS)
        .max_send_buffer_size(MAX_SEND_BUFFER);
    http2
}

// === impl ConnectionError ===

impl ConnectionError {
    /// Returns whether a connection ended because its peer exceeded one of h2's limits.
    pub(super) fn is_abuse(&self) -> bool {
        matches!(self, Self::Http2(h2) if h2.is_library() && h2.reason() == Some(Reason::ENHANCE_YOUR_CALM))
    }
}
