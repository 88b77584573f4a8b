//! The time between the shutdown and the end: requests in flight finish.

use std::time::Duration;

use futures::{Stream, StreamExt as _};
use tokio::time::{Instant, interval_at};

/// How often the requests that are still in flight are logged.
const PROGRESS: Duration = Duration::from_secs(1);

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DrainEnd<T> {
    /// The server has ended.
    Completed(T),
    /// The time was over.
    TimedOut,
    /// The process was told to stop a second time.
    Interrupted,
}

/// Waits until `server` has ended, for at most `bound`, or until `shutdown` has another item. Logs how many requests are
/// in flight, at the start and every second.
pub(crate) async fn drain<T>(
    server: impl Future<Output = T>,
    bound: Duration,
    mut shutdown: impl Stream<Item = ()> + Unpin,
    in_flight: impl Fn() -> usize,
) -> DrainEnd<T> {
    tracing::info!(drain = %humantime::format_duration(bound), in_flight = in_flight(), "draining");
    let again = async {
        if shutdown.next().await.is_none() {
            // Nobody is left who could tell it to stop.
            std::future::pending::<()>().await;
        }
    };
    let progress = async {
        let mut ticks = interval_at(Instant::now() + PROGRESS, PROGRESS);
        loop {
            ticks.tick().await;
            tracing::info!(in_flight = in_flight(), "still draining");
        }
    };
    tokio::select! {
        biased;
        ended = server => DrainEnd::Completed(ended),
        () = again => DrainEnd::Interrupted,
        () = tokio::time::sleep(bound) => DrainEnd::TimedOut,
        never = progress => never,
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use futures::stream;

    use super::*;

    const BOUND: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn it_ends_with_the_server_the_second_shutdown_or_its_bound() {
        let begun = Instant::now();
        assert_eq!(drain(ready(7), BOUND, stream::pending(), || 0).await, DrainEnd::Completed(7));
        assert_eq!(drain(pending::<()>(), BOUND, stream::iter([()]), || 1).await, DrainEnd::Interrupted);
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert_eq!(drain(pending::<()>(), BOUND, stream::empty(), || 1).await, DrainEnd::TimedOut);
        assert_eq!(begun.elapsed(), BOUND, "the end of the stream is no second shutdown");
    }
}
