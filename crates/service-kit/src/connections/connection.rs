//! One connection, from its preface to its end.

use std::{
    future::pending,
    net::{SocketAddr, TcpStream as StdStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use coalesced_io::CoalescedIo;
use rpc_layers::{Peer, Throttle, peer::PeerCertificate, source};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_util::task::TaskTracker;

use super::{
    ConnectionLimits,
    admission::{Closing, ConnectionPermit},
    call_service::CallService,
    calls::Calls,
    fair_read::{FairRead, Slowed},
    handshake::Handshake,
    http2::{self, ConnectionError},
    keepalive::KeepaliveLimits,
    preface::{PREFACE, PrefaceError, read_preface},
    serving::Serving,
};
use crate::{routes::Routes, workers::Place};

/// How long a peer may take to begin to speak HTTP/2.
const PREFACE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a peer may take to close a connection that is shutting down and has no call in flight: to answer a ping, and
/// to read what is left of its replies.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// By which part of the maximum age connections differ, so that those of one moment do not all come back at another.
const AGE_JITTER: f64 = 0.1;

/// What the connections of a server share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) routes: Routes,
    pub(super) limits: ConnectionLimits,
    /// For connections that are closed or slowed down: an attack is both.
    pub(super) abuse: Throttle,
    /// How many connections are slowed down: they share what they may use.
    pub(super) slowed: Slowed,
    /// `None` if connections are not encrypted.
    pub(super) handshake: Option<Handshake>,
    /// For clients that speak TLS all the same.
    pub(super) unexpected_tls: Throttle,
}

/// A connection that has been accepted.
#[derive(Debug)]
pub(super) struct Connection {
    peer: SocketAddr,
    shared: Arc<Shared>,
    calls: Arc<Calls>,
    permit: ConnectionPermit,
    _place: Place,
}

// === impl Shared ===

impl Shared {
    /// Warns of a peer whose connection is read slowly.
    fn warn_of_slowed(&self, peer: SocketAddr) {
        if let Some(others) = self.abuse.allow(Instant::now()) {
            tracing::warn!(%peer, others, "a connection is slowed down: what it sends is work, but hardly any calls");
        }
    }
}

// === impl Connection ===

impl Connection {
    pub(super) fn new(peer: SocketAddr, permit: ConnectionPermit, place: Place, shared: Arc<Shared>) -> Self {
        Self { peer, shared, calls: Arc::clone(permit.calls()), permit, _place: place }
    }

    /// Serves calls until the peer closes the connection, it is too old, it gives way to another one, or the server drains.
    ///
    /// A connection that is silent costs a socket and this future: HTTP/2 has buffers for it only after its preface.
    pub(super) async fn run(self, stream: StdStream) {
        let stream = match TcpStream::from_std(stream) {
            Ok(stream) => stream,
            Err(error) => return tracing::warn!(peer = %self.peer, %error, "a connection cannot be served"),
        };
        let Some(handshake) = &self.shared.handshake else {
            let (read, write) = stream.into_split();
            return self.serve(read, write, None).await;
        };
        // In a box: it has no part in the size of connections without TLS.
        let accepted = tokio::select! {
            biased;
            accepted = Box::pin(handshake.accept(stream, self.peer)) => accepted,
            _ = self.permit.closes() => return,
        };
        if let Some((stream, certificate)) = accepted {
            let (read, write) = tokio::io::split(stream);
            Box::pin(self.serve(read, write, certificate)).await;
        }
    }

    /// Serves calls on the stream, of which nothing has been read.
    async fn serve(
        &self,
        mut read: impl AsyncRead + Unpin + Send + 'static,
        write: impl AsyncWrite + Unpin + Send + 'static,
        certificate: Option<PeerCertificate>,
    ) {
        let preface = tokio::select! {
            biased;
            preface = timeout(PREFACE_TIMEOUT, read_preface(&mut read)) => preface,
            _ = self.permit.closes() => return,
        };
        match preface {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return self.log_preface(&error),
            Err(_) => return tracing::debug!(peer = %self.peer, "a connection was closed: it sent nothing"),
        }
        let (peer, shared) = (self.peer, Arc::clone(&self.shared));
        let read = FairRead::new(read, Arc::clone(&self.calls), self.shared.slowed.clone(), move || {
            shared.warn_of_slowed(peer);
        });
        let (io, flusher) = CoalescedIo::new(tokio::io::join(PREFACE.chain(read), write));
        let handshake = tokio::select! {
            biased;
            handshake = timeout(PREFACE_TIMEOUT, http2::builder().handshake::<_, Bytes>(io)) => handshake,
            _ = self.permit.closes() => return,
        };
        let transport = match handshake {
            Ok(Ok(transport)) => transport,
            Ok(Err(error)) => return self.log(Err(error.into())),
            Err(_) => return tracing::debug!(peer = %self.peer, "a connection was closed: its peer reads nothing"),
        };
        let peer = Peer { address: self.peer, connection: next_number(), certificate };
        let service = CallService::new(Arc::clone(&self.shared), peer, Arc::clone(&self.calls));
        let keepalive = KeepaliveLimits::default();
        let mut serving = Serving::new(transport, flusher, keepalive, service, Arc::clone(&self.calls));
        let ConnectionLimits { max_age, max_age_grace, .. } = self.shared.limits;
        let grace = tokio::select! {
            biased;
            ended = &mut serving => return self.log(ended),
            () = after(max_age.map(|age| jittered(age, rand::random()))) => Some(max_age_grace),
            _ = self.permit.closes() => None,
        };
        // A call may have arrived that nobody has seen: the client is told which of its calls are served.
        serving.graceful_shutdown();
        tokio::select! {
            biased;
            ended = &mut serving => self.log(ended),
            () = idle(self.calls.tracker()) => tracing::debug!(peer = %self.peer, "an idle connection was closed"),
            () = self.given_way() => tracing::debug!(peer = %self.peer, "an idle connection gave way to another one"),
            () = after(grace) => tracing::debug!(peer = %self.peer, "a connection was closed: its time was over"),
        }
    }

    /// Waits until the connection is to be closed in favour of another one, and the time for that is over. It is not counted
    /// any longer, so that it may not wait for its peer as others do.
    async fn given_way(&self) {
        match self.permit.closes().await {
            Closing::Drain => pending().await,
            Closing::Soon => sleep(CLOSE_TIMEOUT).await,
            Closing::Now => {}
        }
    }

    /// Logs why the connection has no preface.
    fn log_preface(&self, error: &PrefaceError) {
        if matches!(error, PrefaceError::Tls)
            && let Some(others) = self.shared.unexpected_tls.allow(Instant::now())
        {
            tracing::warn!(peer = %self.peer, reason = %error, others, "a connection was refused");
        }
        tracing::debug!(peer = %self.peer, %error, "a connection failed");
    }

    /// Logs how the connection ended.
    fn log(&self, ended: Result<(), ConnectionError>) {
        let Err(error) = ended else { return };
        if error.is_abuse()
            && let Some(others) = self.shared.abuse.allow(Instant::now())
        {
            let reason = source::root(&error);
            tracing::warn!(peer = %self.peer, %reason, others, "a connection was closed: its peer exceeded a limit");
        }
        tracing::debug!(peer = %self.peer, error = &error as &dyn std::error::Error, "a connection failed");
    }
}

/// Returns another number for each connection.
fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Waits for this time, or for ever if there is none.
async fn after(time: Option<Duration>) {
    match time {
        Some(time) => sleep(time).await,
        None => pending().await,
    }
}

/// Returns the age plus or minus [`AGE_JITTER`]. `position` is from 0 to 1.
fn jittered(age: Duration, position: f64) -> Duration {
    age.mul_f64(1.0 - AGE_JITTER + 2.0 * AGE_JITTER * position)
}

/// Waits until no call of the connection has been in flight for [`CLOSE_TIMEOUT`].
async fn idle(calls: &TaskTracker) {
    calls.close();
    loop {
        calls.wait().await;
        sleep(CLOSE_TIMEOUT).await;
        if calls.is_empty() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_differ_by_a_tenth_at_most() {
        let age = Duration::from_secs(100);
        let ages = [0.0, 0.5, 1.0].map(|position| jittered(age, position).as_millis());
        assert_eq!(ages, [90_000, 100_000, 110_000]);
    }
}
