//! Keeps an endpoint connected, and learns whether it serves.

use std::{io, sync::Arc, time::Duration};

use futures::{
    FutureExt as _, StreamExt as _,
    future::{BoxFuture, OptionFuture},
    stream::FuturesUnordered,
};
use http::Uri;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep, sleep_until, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    backoff::Backoff,
    endpoints::{
        endpoint::{ConnectivityState, Endpoint},
        health::{Health, health},
        set::EndpointSet,
    },
    transport::connection::{Connection, ConnectionError, Driver, Transport},
};

/// The waits between attempts to connect.
const BACKOFF: Backoff = Backoff::doubling(Duration::from_millis(100), Duration::from_secs(3));

/// How far apart attempts to connect begin at least if the endpoint was ready in between. Calls wait for the next one, so it
/// has no back-off: some servers close each connection soon, gracefully.
const MIN_INTERVAL: Duration = Duration::from_millis(100);

/// A connection that ends sooner, and has carried no reply, was of no use. After two of them the next one waits for a call,
/// or for a back-off: some servers, and what stands before them, accept connections and close them at once, for ever.
const SHORT: Duration = Duration::from_secs(3);

/// A connection beside the first that carries no call for so long, and at most for twice as long, is closed. As often another
/// one is tried for calls that wait.
const MAX_IDLE: Duration = Duration::from_secs(3);

type Opened = Result<(Connection, Driver), ConnectionError>;

/// Connects to an endpoint, and again whenever the connection is lost, until it is dropped.
///
/// The endpoint is ready while gRPC's health protocol says `SERVING`, or if it does not implement that. An endpoint that
/// ends its health stream, or turns to `NOT_SERVING`, is about to stop: it gets no more calls, and calls in flight end on
/// the connection they began on.
pub(crate) async fn connect_loop(set: Arc<EndpointSet>, endpoint: Arc<Endpoint>, transport: Transport, origin: Uri) {
    let (mut failures, mut useless) = (0, 0);
    loop {
        let begun = Instant::now();
        let (why, was_open, was_ready) = match Connection::open(endpoint.address, transport.clone()).await {
            Ok((connection, driver)) => {
                let connected = ConnectedEndpoint::new(&set, &endpoint, &transport);
                let (why, was_ready) = connected.run(connection, driver, &origin).await;
                endpoint.pool.clear();
                (why, true, was_ready)
            }
            Err(error) => (error.to_string(), matches!(error, ConnectionError::Closed), false),
        };
        // A peer that limits the age of connections may close one before it is ready, if either is slow.
        let is_expected = was_ready || (was_open && failures == 0);
        let state = if is_expected { ConnectivityState::Connecting } else { ConnectivityState::TransientFailure(why) };
        let wanted = endpoint.reconnect_wanted();
        set.set_connectivity(&endpoint, state);
        set.request_resolution();
        if was_ready {
            failures = 0;
            useless = if endpoint.take_has_replied() || begun.elapsed() > SHORT { 0 } else { useless + 1 };
            sleep_until(begun + MIN_INTERVAL).await;
            if useless < 2 {
                continue;
            }
            set.rest(&endpoint);
        } else {
            failures += 1;
        }
        tokio::select! {
            () = sleep(BACKOFF.wait(failures.max(useless))) => {}
            // No other endpoint is left for the calls.
            () = wanted => {}
        }
    }
}

/// An endpoint while it is connected, with what drives its connections.
struct ConnectedEndpoint<'a> {
    set: &'a EndpointSet,
    endpoint: &'a Endpoint,
    transport: &'a Transport,
    drivers: FuturesUnordered<BoxFuture<'static, (u64, String)>>,
    opening: Option<BoxFuture<'static, Opened>>,
    sweep: Interval,
}

// === impl ConnectedEndpoint ===

impl<'a> ConnectedEndpoint<'a> {
    fn new(set: &'a EndpointSet, endpoint: &'a Endpoint, transport: &'a Transport) -> Self {
        let mut sweep = interval(MAX_IDLE);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { set, endpoint, transport, drivers: FuturesUnordered::new(), opening: None, sweep }
    }

    /// Runs until the first connection is lost. Returns why, and whether the endpoint had been ready.
    async fn run(mut self, connection: Connection, driver: Driver, origin: &Uri) -> (String, bool) {
        let health = health(connection.clone(), origin.clone());
        tokio::pin!(health);
        let first = self.add(connection, driver);
        let mut was_ready = false;
        loop {
            tokio::select! {
                Some((number, why)) = self.drivers.next() => {
                    if number == first {
                        return (why, was_ready);
                    }
                    self.endpoint.pool.remove(number);
                }
                Some(health) = health.next() => match health {
                    Health::Serving => {
                        was_ready = true;
                        self.set.set_connectivity(self.endpoint, ConnectivityState::Ready);
                    }
                    Health::NotServing if !was_ready => self.set.set_connectivity(self.endpoint, ConnectivityState::NotServing),
                    Health::NotServing => return ("it stopped serving".to_owned(), was_ready),
                    Health::Ended(why) => return (why, was_ready),
                },
                () = self.endpoint.pool.wanted() => {
                    if self.endpoint.pool.is_closed() {
                        return ("it closed the connection".to_owned(), was_ready);
                    }
                    self.grow();
                }
                _ = self.sweep.tick(), if self.endpoint.pool.needs_sweep() => {
                    self.endpoint.pool.remove_unused();
                    // Calls may still wait for one that could not be opened.
                    self.grow();
                }
                Some(opened) = OptionFuture::from(self.opening.as_mut()) => {
                    self.opening = None;
                    match opened {
                        Ok((connection, driver)) => {
                            self.add(connection, driver);
                            // One may not be enough.
                            self.grow();
                        }
                        Err(error) => {
                            self.endpoint.pool.not_opened();
                            tracing::warn!(replica = %self.endpoint.address, %error, "cannot open another connection");
                        }
                    }
                }
            }
        }
    }

    fn add(&mut self, connection: Connection, driver: Driver) -> u64 {
        let number = self.endpoint.pool.add(connection);
        self.drivers.push(async move { (number, describe(driver.await)) }.boxed());
        number
    }

    /// Opens one more connection if calls need it, in the runtime of the calls.
    fn grow(&mut self) {
        if self.opening.is_none()
            && let Some(runtime) = self.endpoint.pool.growth()
        {
            let (address, transport, limit) =
                (self.endpoint.address, self.transport.clone(), self.transport.connect_timeout);
            let opening = AbortOnDropHandle::new(runtime.spawn(Connection::open(address, transport)));
            let opened = async move {
                // A runtime that is blocked does not hold up the connections of others.
                match timeout(limit, opening).await {
                    Ok(Ok(opened)) => opened,
                    Ok(Err(ended)) => Err(io::Error::other(ended).into()),
                    Err(_) => Err(ConnectionError::TimedOut(limit)),
                }
            };
            self.opening = Some(opened.boxed());
        }
    }
}

/// Describes how a connection's driver ended.
fn describe(ended: Result<Result<(), ConnectionError>, tokio::task::JoinError>) -> String {
    match ended {
        Ok(Ok(())) => "it closed the connection".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use http::{Response, StatusCode};
    use tokio::{net::TcpListener, task::AbortHandle};

    use super::*;
    use crate::endpoints::outlier_detection::CallHistory;

    /// A server without a health service, whose connections live for a moment. Returns how many there were.
    async fn closing_server() -> (std::net::SocketAddr, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, accepted) = (listener.local_addr().unwrap(), Arc::<AtomicUsize>::default());
        let count = Arc::clone(&accepted);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(async move {
                    let mut connection = h2::server::handshake(stream).await.unwrap();
                    if let Some(Ok((_, mut respond))) = connection.accept().await {
                        let response = Response::builder().status(StatusCode::NOT_FOUND).body(()).unwrap();
                        respond.send_response(response, true).unwrap();
                        let _ = timeout(MIN_INTERVAL / 2, connection.accept()).await;
                    }
                });
            }
        });
        (address, accepted)
    }

    fn connect_to(address: std::net::SocketAddr) -> (Arc<EndpointSet>, Arc<Endpoint>, AbortHandle) {
        let long = Duration::from_secs(20);
        let transport = Transport { connect_timeout: long, keepalive: long, keepalive_timeout: long, tls: None };
        let set = Arc::new(EndpointSet::new(0.5));
        let endpoint = set.add(address, 1);
        let origin = Uri::from_static("http://localhost");
        let connecting = tokio::spawn(connect_loop(Arc::clone(&set), Arc::clone(&endpoint), transport, origin));
        (set, endpoint, connecting.abort_handle())
    }

    #[tokio::test]
    async fn an_endpoint_whose_connections_are_of_no_use_is_connected_to_ever_more_slowly() {
        let (address, accepted) = closing_server().await;
        let (_set, _endpoint, connecting) = connect_to(address);
        sleep(MIN_INTERVAL * 30).await;
        let idle = accepted.load(Ordering::Relaxed);
        connecting.abort();
        assert!((3..20).contains(&idle), "{idle} connections");
    }

    #[tokio::test]
    async fn one_that_has_replied_or_that_a_call_waits_for_is_not() {
        let (address, accepted) = closing_server().await;
        let (set, endpoint, connecting) = connect_to(address);
        let mut changes = set.changes();
        let connected = async {
            while accepted.load(Ordering::Relaxed) < 20 {
                changes.changed().await.unwrap();
                set.end_rest();
            }
            while accepted.load(Ordering::Relaxed) < 40 {
                changes.changed().await.unwrap();
                set.succeeded(&endpoint, CallHistory::default().epoch());
            }
        };
        timeout(Duration::from_secs(20), connected).await.expect("without a back-off");
        connecting.abort();
    }
}
