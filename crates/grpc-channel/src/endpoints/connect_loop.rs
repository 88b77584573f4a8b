//! Keeps a replica connected, and knows whether it serves.

use std::{sync::Arc, time::Duration};

use futures::{
    FutureExt as _, StreamExt as _,
    future::{BoxFuture, OptionFuture},
    stream::FuturesUnordered,
};
use http::Uri;
use tokio::time::Instant;

use crate::{
    endpoints::endpoint::{Link, Member},
    endpoints::health::health,
    endpoints::set::Roster,
    policy::backoff::full_jitter,
    transport::connection::{Connection, ConnectionError, Driver, Transport},
};

/// The longest wait before the second attempt to connect; it doubles with each.
const BASE: Duration = Duration::from_millis(100);

/// The longest wait before any attempt.
const CAP: Duration = Duration::from_secs(3);

/// How long a replica has to have been ready for its loss to be the first of its kind.
const STEADY: Duration = Duration::from_secs(1);

type Opened = Result<(Connection, Driver), ConnectionError>;

/// Connects to a member, and again whenever the connection is lost, until it is dropped.
///
/// The member is ready while it says so by gRPC's health protocol, or has none. One that ends its health stream, or turns
/// to `NOT_SERVING`, is about to go: it gets no more calls, and what is in flight ends on the connection it began on.
pub(crate) async fn keep(roster: Arc<Roster>, member: Arc<Member>, transport: Transport, origin: Uri) {
    let mut failures = 0;
    loop {
        let (link, was_ready) = match Connection::open(member.address, transport).await {
            Ok((connection, driver)) => {
                let kept = Kept::new(&roster, &member, transport);
                let (why, ready_since) = kept.until_lost(connection, driver, &origin).await;
                member.connections.clear();
                match ready_since {
                    Some(since) => (Link::Connecting, since.elapsed() >= STEADY),
                    None => (Link::Failed(why), false),
                }
            }
            Err(error) => (Link::Failed(error.to_string()), false),
        };
        let wanted = roster.reconnect_wanted();
        roster.set_link(&member, link);
        roster.note_loss();
        failures = if was_ready { 0 } else { failures + 1 };
        if failures > 0 {
            tokio::select! {
                () = tokio::time::sleep(full_jitter(BASE, CAP, failures)) => {}
                // Calls have nobody else to go to.
                () = wanted => {}
            }
        }
    }
}

/// The connections of a member that is connected.
struct Kept<'a> {
    roster: &'a Roster,
    member: &'a Member,
    transport: Transport,
    drivers: FuturesUnordered<BoxFuture<'static, (u64, String)>>,
    opening: Option<BoxFuture<'static, Opened>>,
}

// === impl Kept ===

impl<'a> Kept<'a> {
    fn new(roster: &'a Roster, member: &'a Member, transport: Transport) -> Self {
        Self { roster, member, transport, drivers: FuturesUnordered::new(), opening: None }
    }

    /// Why the first connection was lost, and since when the member had been ready.
    async fn until_lost(mut self, connection: Connection, driver: Driver, origin: &Uri) -> (String, Option<Instant>) {
        let health = health(connection.clone(), origin.clone());
        tokio::pin!(health);
        let first = self.add(connection, driver);
        let mut ready_since = None;
        loop {
            tokio::select! {
                Some((number, why)) = self.drivers.next() => {
                    if number == first {
                        return (why, ready_since);
                    }
                    self.member.connections.remove(number);
                }
                serving = health.next() => match serving {
                    Some(true) => {
                        ready_since = ready_since.or_else(|| Some(Instant::now()));
                        self.roster.set_link(self.member, Link::Ready);
                    }
                    Some(false) if ready_since.is_none() => self.roster.set_link(self.member, Link::NotServing),
                    Some(false) | None => return ("it stopped serving".to_owned(), ready_since),
                },
                () = self.member.connections.wanted() => {
                    if self.member.connections.is_closed() {
                        return ("it closed the connection".to_owned(), ready_since);
                    }
                    self.grow();
                }
                Some(opened) = OptionFuture::from(self.opening.as_mut()) => {
                    self.opening = None;
                    match opened {
                        Ok((connection, driver)) => {
                            self.add(connection, driver);
                        }
                        Err(error) => {
                            tracing::warn!(replica = %self.member.address, %error, "no further connection");
                        }
                    }
                }
            }
        }
    }

    fn add(&mut self, connection: Connection, driver: Driver) -> u64 {
        let number = self.member.connections.add(connection);
        self.drivers.push(async move { (number, words(driver.await)) }.boxed());
        number
    }

    /// Opens one more connection where calls need it.
    fn grow(&mut self) {
        if self.opening.is_none() && self.member.connections.may_grow() {
            let (address, transport) = (self.member.address, self.transport);
            self.opening = Some(Connection::open(address, transport).boxed());
        }
    }
}

/// How a connection's driver ended, in words.
fn words(ended: Result<Result<(), ConnectionError>, tokio::task::JoinError>) -> String {
    match ended {
        Ok(Ok(())) => "it closed the connection".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    }
}
