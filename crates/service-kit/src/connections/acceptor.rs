//! Accepts connections, and backs off while the process has no file descriptors left.

use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    time::{Instant, sleep, sleep_until},
};

/// How long to wait after a failure before the next connection is accepted.
const BACKOFF: Duration = Duration::from_millis(100);

/// How long no attempt may fail before a series of failures is over. A process at its limit accepts a connection each
/// time that another one closes.
const RECOVERY: Duration = Duration::from_secs(3);

/// Accepts connections of a listener.
#[derive(Debug)]
pub(super) struct Acceptor {
    listener: TcpListener,
    failures: Failures,
}

/// Failures that follow each other.
#[derive(Debug, Default)]
struct Failures {
    /// When the first and the last of them happened.
    span: Option<(Instant, Instant)>,
}

// === impl Acceptor ===

impl Acceptor {
    pub(super) fn new(listener: TcpListener) -> Self {
        Self { listener, failures: Failures::default() }
    }

    /// Waits for the next connection. A series of failures is two log lines: at its start and at its end. Cancel safe.
    pub(super) async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            let failures = &self.failures;
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = failures.over() => {
                    let lasted = self.failures.end();
                    tracing::info!(lasted_ms = lasted.as_millis(), "connections are accepted again");
                    continue;
                }
            };
            match accepted {
                Ok((stream, peer)) => {
                    if stream.set_nodelay(true).is_ok() {
                        return (stream, peer);
                    }
                }
                Err(error) if is_of_peer(&error) => {}
                Err(error) => {
                    if self.failures.add(Instant::now()) {
                        tracing::warn!(%error, "no connection can be accepted");
                    }
                    sleep(BACKOFF).await;
                }
            }
        }
    }
}

/// Returns whether accepting failed because of the peer, whose connection ended before it was accepted.
fn is_of_peer(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused)
}

// === impl Failures ===

impl Failures {
    /// Adds a failure. Returns whether it is the first of its series.
    fn add(&mut self, now: Instant) -> bool {
        let first = self.span.map_or(now, |(first, _)| first);
        self.span.replace((first, now)).is_none()
    }

    /// Waits until the series is over, or for ever if there is none.
    async fn over(&self) {
        match self.span {
            Some((_, last)) => sleep_until(last + RECOVERY).await,
            None => std::future::pending().await,
        }
    }

    /// Ends the series, and returns how long it lasted.
    fn end(&mut self) -> Duration {
        self.span.take().map_or(Duration::ZERO, |(first, last)| last - first)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_series_of_failures_begins_and_ends_once() {
        let mut failures = Failures::default();
        assert!(failures.add(Instant::now()));
        // A connection is accepted now and then, which is no recovery.
        for _ in 0..50 {
            advance(BACKOFF).await;
            assert!(!failures.add(Instant::now()));
        }
        let last = Instant::now();
        failures.over().await;
        assert_eq!(last.elapsed(), RECOVERY);
        assert_eq!(failures.end(), BACKOFF * 50);
        assert!(failures.add(Instant::now()), "the next one is a new series");
    }
}
