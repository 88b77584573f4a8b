//! Accepts connections, and serves HTTP/2 on each of them until a graceful shutdown.
//!
//! tonic's own server is not used. It has a timer for `grpc-timeout` outside of every layer, which answers CANCELLED
//! where gRPC has `DEADLINE_EXCEEDED`, and which fires before the deadline layer's if the thread is suspended between the
//! two. It also spins while the process is out of file descriptors, and limits neither connections nor their age.
//!
//! # Layout
//!
//! * `acceptor`: accepts connections, and backs off while the process has no file descriptors left.
//! * `admission`: the limits on open connections, of all peers and of each.
//! * `connection`: one connection, from its preface to its end; `serving`: its calls, all of them in one task, and why;
//!   `wakeups`: what of it has something to do.
//! * `call`: one call; `call_service`: what it is passed to; `call_set`: those in flight; `calls`: how many there were.
//! * `request_body`: reads requests to their end, also if the service does not.
//! * `reply`: sends replies as fast as they are read; `reply_timeout`: resets calls whose replies their callers do not read.
//! * `handshake`: the TLS handshake, and peers that do not get through it.
//! * `preface`: reads the first bytes of a connection.
//! * `refusal`: what a client is told that is refused.
//! * `fair_read`: reads from a connection no faster than its calls are run; `read_pace`: how fast that is.
//! * `http2`: the limits of HTTP/2 on each connection.
//! * `keepalive`: finds out whether a peer that says nothing is still there.

mod acceptor;
mod admission;
mod call;
mod call_service;
mod call_set;
mod calls;
mod connection;
mod fair_read;
mod handshake;
mod http2;
mod keepalive;
mod preface;
mod read_pace;
mod refusal;
mod reply;
mod reply_timeout;
mod request_body;
mod serving;
mod wakeups;

use std::{pin::pin, sync::Arc, time::Duration};

use rpc_layers::Throttle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) use self::reply_timeout::{ReplyTimeout, ReplyTimeoutLayer, end_with_drain};
use self::{
    acceptor::Acceptor,
    admission::Admission,
    connection::{Connection, Shared},
    fair_read::Slowed,
    handshake::Handshake,
};
use crate::{listener::Listener, routes::Routes, workers::Workers};

/// The limits on a server's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// How many connections may be open. For each more, one is closed that has no call in flight. If all have, the new one is
    /// closed when it is accepted.
    pub max: usize,
    /// How many of them may come from one IP address, or from one /64 network of IPv6, likewise. Loopback addresses have no
    /// limit of their own.
    pub max_per_peer: usize,
    /// The age at which a connection is closed gracefully, more or less a tenth. `None` is without limit.
    pub max_age: Option<Duration>,
    /// How long the calls on a connection may take to finish after that.
    pub max_age_grace: Duration,
}

/// Serves connections until `shutdown` ends, then waits until all of them have closed: each closes when it has no call
/// in flight.
///
/// Connections are tasks of their own, each on one of the listener's workers. Dropping the future stops accepting them, and does not close them.
pub(crate) async fn serve(
    listener: Listener,
    routes: Routes,
    limits: ConnectionLimits,
    shutdown: impl Future<Output = ()>,
) {
    let Listener { tcp, tls, workers } = listener;
    let workers = workers.unwrap_or_else(Workers::current);
    let shared = Arc::new(Shared {
        routes,
        limits,
        abuse: Throttle::default(),
        slowed: Slowed::default(),
        handshake: tls.map(Handshake::new),
        unexpected_tls: Throttle::default(),
    });
    let (draining, connections) = (CancellationToken::new(), TaskTracker::new());
    let admission = Admission::new(limits, draining.clone());
    let mut acceptor = Acceptor::new(tcp);
    let mut shutdown = pin!(shutdown);
    loop {
        let (stream, peer) = tokio::select! {
            () = &mut shutdown => break,
            accepted = acceptor.accept() => accepted,
        };
        // It has been registered with the runtime that accepts.
        if let Some(permit) = admission.admit(peer.ip())
            && let Ok(stream) = stream.into_std()
        {
            let place = workers.place();
            let runtime = place.runtime().clone();
            let connection = Connection::new(peer, permit, place, Arc::clone(&shared));
            connections.spawn_on(connection.run(stream), &runtime);
        }
    }
    // Refuses connections during the drain.
    drop(acceptor);
    draining.cancel();
    connections.close();
    connections.wait().await;
}

// === impl ConnectionLimits ===

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self { max: 4096, max_per_peer: 1024, max_age: None, max_age_grace: Duration::from_secs(30) }
    }
}
