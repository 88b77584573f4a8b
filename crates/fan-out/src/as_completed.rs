//! Runs many calls of one type and yields each result when it ends.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures::{
    Stream,
    future::BoxFuture,
    stream::{FusedStream, FuturesUnordered, StreamExt as _},
};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use crate::{
    call::Call,
    outcome::CallError,
    recorder::{FanOutGuard, Recorder},
    report::Report,
    strategy::{FailurePolicy, Strategy},
};

/// A stream of results in the order in which the calls end, made by
/// [`FanOut::as_completed`](crate::FanOut::as_completed).
///
/// Under [`FailurePolicy::FailFast`] the first failure is the last item. Calls that it
/// cancelled or skipped appear only in the report.
///
/// # Cancel safety
///
/// No result is lost between two polls. Dropping the stream drops every running call and
/// aborts the tasks of [`Strategy::Spawned`].
#[must_use = "a stream runs no call until it is polled"]
pub struct AsCompleted<I, T, E> {
    strategy: Strategy,
    width: usize,
    /// How many calls may run if that is fewer than the width.
    room: usize,
    /// The calls that have not started; `None` once all of them have.
    waiting: Option<I>,
    running: FuturesUnordered<BoxFuture<'static, Completed<T, E>>>,
    recorder: Arc<Recorder>,
    guard: Option<FanOutGuard>,
    report: Option<Report>,
}

/// The result of one call of many.
#[derive(Debug)]
pub struct Completed<T, E> {
    /// The call's index in the iterator and in [`Report::calls`].
    pub index: usize,
    /// The call's result.
    pub result: Result<T, CallError<E>>,
}

// === impl AsCompleted ===

impl<I, F, T, E> AsCompleted<I, T, E>
where
    I: Iterator<Item = Call<F>>,
    F: Future<Output = Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    pub(crate) fn new(strategy: Strategy, policy: FailurePolicy, width: usize, calls: I) -> Self {
        let recorder = Arc::new(Recorder::new(strategy, policy));
        let guard = FanOutGuard::new(Arc::clone(&recorder), recorder.span(width));
        let (waiting, running) = (Some(calls), FuturesUnordered::new());
        Self { strategy, width, room: usize::MAX, waiting, running, recorder, guard: Some(guard), report: None }
    }

    /// Returns the report. Until the stream has ended it shows the state so far, in which
    /// running calls count as cancelled.
    pub fn report(&self) -> Report {
        self.report.clone().unwrap_or_else(|| self.recorder.report())
    }

    /// Returns how many calls may run at once.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Returns how many calls are running, or have ended and were not yielded yet.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// Sets for how many results there is room, and starts calls if there is more of it than before: from now on no call
    /// starts while this many are running. Those that run go on. By default there is room for all.
    ///
    /// While there is no room, the stream is pending after its last running call: it has to be polled again when there is
    /// room.
    pub fn set_room(&mut self, room: usize) {
        self.room = room;
        self.fill();
    }

    /// Starts calls until as many are running as may.
    fn fill(&mut self) {
        let Some(guard) = &self.guard else { return };
        while self.running.len() < self.width.min(self.room) && !self.recorder.is_stopped() {
            let Some(Call { label, future }) = self.waiting.as_mut().and_then(Iterator::next) else {
                self.waiting = None;
                return;
            };
            let index = self.recorder.register(label, None);
            let recorder = Arc::clone(&self.recorder);
            let run = async move { Completed { index, result: recorder.run(index, future).await } };
            let run = run.instrument(guard.span().clone());
            self.running.push(match self.strategy {
                Strategy::Sequential | Strategy::Concurrent => Box::pin(run),
                Strategy::Spawned => {
                    let task = AbortOnDropHandle::new(tokio::spawn(run));
                    // An error means that the runtime was shut down.
                    let cancelled = move |_| Completed { index, result: Err(CallError::Cancelled) };
                    Box::pin(async move { task.await.unwrap_or_else(cancelled) })
                }
            });
        }
    }

    /// Registers the calls that never started, and completes the report and the span.
    fn end(&mut self) {
        for call in self.waiting.take().into_iter().flatten() {
            self.recorder.register(call.label, None);
        }
        if let Some(guard) = self.guard.take() {
            self.report = Some(guard.finish());
        }
    }
}

// The iterator is never pinned: it is only called by reference.
impl<I, T, E> Unpin for AsCompleted<I, T, E> {}

impl<I, F, T, E> Stream for AsCompleted<I, T, E>
where
    I: Iterator<Item = Call<F>>,
    F: Future<Output = Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    type Item = Completed<T, E>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            this.fill();
            match ready!(this.running.poll_next_unpin(cx)) {
                // Stopped by a failure that was yielded before.
                Some(Completed { result: Err(CallError::Cancelled | CallError::Skipped), .. }) => {}
                Some(completed) => return Poll::Ready(Some(completed)),
                // Whether any call is waiting is known when there is room for it.
                None if this.room == 0 && this.waiting.is_some() && !this.recorder.is_stopped() => {
                    return Poll::Pending;
                }
                None => {
                    this.end();
                    return Poll::Ready(None);
                }
            }
        }
    }
}

impl<I, F, T, E> FusedStream for AsCompleted<I, T, E>
where
    I: Iterator<Item = Call<F>>,
    F: Future<Output = Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    fn is_terminated(&self) -> bool {
        self.guard.is_none()
    }
}

impl<I, T, E> fmt::Debug for AsCompleted<I, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let running = self.running.len();
        f.debug_struct("AsCompleted").field("width", &self.width).field("running", &running).finish_non_exhaustive()
    }
}
