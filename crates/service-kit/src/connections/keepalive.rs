//! Finds out whether a peer that says nothing is still there.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use h2::{Ping, PingPong};
use tokio::time::{Instant, Sleep, sleep};

/// Sends a ping to a peer that has said nothing for a while, and waits a while for its answer.
#[derive(Debug)]
pub(super) struct Keepalive {
    pings: PingPong,
    limits: KeepaliveLimits,
    timer: Pin<Box<Sleep>>,
    is_asked: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct KeepaliveLimits {
    /// How long a peer may be silent before it is sent a ping.
    pub(super) silence: Duration,
    /// How long it may take to answer.
    pub(super) timeout: Duration,
}

// === impl Keepalive ===

impl Keepalive {
    pub(super) fn new(pings: PingPong, limits: KeepaliveLimits) -> Self {
        Self { pings, limits, timer: Box::pin(sleep(limits.silence)), is_asked: false }
    }

    /// Returns `Ready` if the peer has not answered in time. `silent` returns how long it has been silent.
    pub(super) fn poll_lost(&mut self, silent: impl Fn() -> Duration, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            // An error is that of the connection, which reports it.
            if self.is_asked && self.pings.poll_pong(cx).is_ready() {
                self.is_asked = false;
                self.wait(self.limits.silence);
            }
            ready!(self.timer.as_mut().poll(cx));
            if self.is_asked {
                return Poll::Ready(());
            }
            match self.limits.silence.checked_sub(silent()) {
                Some(rest) if !rest.is_zero() => self.wait(rest),
                _ => {
                    self.is_asked = self.pings.send_ping(Ping::opaque()).is_ok();
                    self.wait(self.limits.timeout);
                }
            }
        }
    }

    fn wait(&mut self, time: Duration) {
        self.timer.as_mut().reset(Instant::now() + time);
    }
}

impl Default for KeepaliveLimits {
    fn default() -> Self {
        Self { silence: Duration::from_secs(30), timeout: Duration::from_secs(20) }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::timeout;

    use super::*;

    /// Returns after what time a peer is lost that says nothing by itself, within an hour.
    async fn lost_after(answers: bool, silent: Duration) -> Option<Duration> {
        let (ours, theirs) = tokio::io::duplex(1 << 10);
        let (server, client) = tokio::join!(h2::server::handshake(ours), h2::client::handshake::<_>(theirs));
        let (mut server, (_requests, client)) = (server.unwrap(), client.unwrap());
        let (_silent, _answers) = if answers { (None, Some(tokio::spawn(client))) } else { (Some(client), None) };
        let mut keepalive = Keepalive::new(server.ping_pong().unwrap(), KeepaliveLimits::default());
        let begun = Instant::now();
        let lost = poll_fn(|cx| {
            // Reads and writes. The client makes no calls.
            assert!(server.poll_closed(cx).is_pending());
            keepalive.poll_lost(|| silent, cx)
        });
        timeout(Duration::from_hours(1), lost).await.ok().map(|()| begun.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_is_lost_that_says_nothing_and_does_not_answer() {
        assert_eq!(lost_after(false, Duration::MAX).await.map(|after| after.as_secs()), Some(50));
        assert_eq!(lost_after(true, Duration::MAX).await, None, "it answers");
        assert_eq!(lost_after(false, Duration::from_secs(29)).await, None, "it says something");
    }
}
