//! Whether a service that has started can answer: asked once a second.

use std::{fmt, future::pending, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use tokio::time::{sleep, timeout};
use tower::BoxError;

/// The time from one answer to the next question.
const PERIOD: Duration = Duration::from_secs(1);
/// How long an answer may take; a later one counts as a failure. Longer than a database that is merely busy needs.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Asks whether a service can answer, such as whether its database is there.
///
/// Health is `NOT_SERVING` from a check that fails until one that succeeds, and the first of each is logged. So a check
/// is for what a service cannot do without, and must not fail because the service is busy: a replica that is taken out
/// for its load leaves the others more of it.
pub trait ReadinessCheck: Send + 'static {
    /// Returns the reason if the service cannot answer. Called once a second, one call at a time.
    ///
    /// The future is dropped if it takes longer than three seconds.
    ///
    /// # Errors
    ///
    /// Returns an error if the service cannot answer. It is logged, and must not contain a secret.
    fn check(&mut self) -> impl Future<Output = Result<(), BoxError>> + Send;
}

/// What the health of a service depends on after its start. The default is nothing: it is `SERVING` until the drain.
#[derive(Default)]
pub struct Readiness(Option<Box<dyn BoxedCheck>>);

/// Asks the check of a [`Readiness`], and remembers what it said.
pub(crate) struct ReadinessWatch {
    check: Option<Box<dyn BoxedCheck>>,
    is_ready: bool,
}

/// A [`ReadinessCheck`] behind a pointer.
trait BoxedCheck: Send {
    fn check(&mut self) -> BoxFuture<'_, Result<(), BoxError>>;
}

/// The check has not answered in time.
#[derive(Debug, thiserror::Error)]
#[error("no answer within {TIMEOUT:?}")]
struct TimedOut;

// === impl Readiness ===

impl Readiness {
    /// Makes health depend on a check.
    pub fn new(check: impl ReadinessCheck) -> Self {
        Self(Some(Box::new(check)))
    }

    /// Begins to ask. The service counts as ready until the first answer, a second from now.
    pub(crate) fn watch(self) -> ReadinessWatch {
        ReadinessWatch { check: self.0, is_ready: true }
    }
}

// === impl ReadinessWatch ===

impl ReadinessWatch {
    /// Waits until a check fails, or one succeeds again, and returns whether the service is ready now. Never returns if
    /// there is no check.
    pub(crate) async fn changed(&mut self) -> bool {
        let Some(check) = &mut self.check else { return pending().await };
        loop {
            sleep(PERIOD).await;
            let answer = timeout(TIMEOUT, check.check()).await.unwrap_or_else(|_| Err(TimedOut.into()));
            match (self.is_ready, answer) {
                (true, Err(error)) => tracing::warn!(%error, "not serving until this is mended"),
                (false, Ok(())) => tracing::info!("serving again"),
                (true, Ok(())) | (false, Err(_)) => continue,
            }
            self.is_ready = !self.is_ready;
            return self.is_ready;
        }
    }
}

impl From<()> for Readiness {
    fn from((): ()) -> Self {
        Self::default()
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Readiness").field(&self.0.is_some()).finish()
    }
}

impl<C: ReadinessCheck> BoxedCheck for C {
    fn check(&mut self) -> BoxFuture<'_, Result<(), BoxError>> {
        ReadinessCheck::check(self).boxed()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    /// Answers each check with the next value, or never if it is `None`.
    struct Answers(std::vec::IntoIter<Option<Result<(), &'static str>>>);

    impl ReadinessCheck for Answers {
        async fn check(&mut self) -> Result<(), BoxError> {
            match self.0.next().expect("the test has ended") {
                Some(answer) => Ok(answer?),
                None => pending().await,
            }
        }
    }

    /// Returns this many changes with their times after the start.
    async fn changes(count: usize, answers: Vec<Option<Result<(), &'static str>>>) -> Vec<(Duration, bool)> {
        let begun = Instant::now();
        let mut watch = Readiness::new(Answers(answers.into_iter())).watch();
        let mut changes = Vec::new();
        while changes.len() < count {
            let is_ready = watch.changed().await;
            changes.push((begun.elapsed(), is_ready));
        }
        changes
    }

    #[tokio::test(start_paused = true)]
    async fn only_changes_are_passed_on() {
        let (gone, there) = (Some(Err("gone")), Some(Ok(())));
        let found = changes(4, vec![there, gone, gone, there, there, gone, there]).await;
        let at = Duration::from_secs;
        assert_eq!(found, [(at(2), false), (at(4), true), (at(6), false), (at(7), true)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_does_not_answer_fails() {
        let found = changes(2, vec![None, Some(Ok(()))]).await;
        let first = PERIOD + TIMEOUT;
        assert_eq!(found, [(first, false), (first + PERIOD, true)]);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_check_nothing_changes() {
        let mut watch = Readiness::from(()).watch();
        timeout(Duration::from_hours(1), watch.changed()).await.expect_err("it never returns");
    }
}
