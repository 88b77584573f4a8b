//! Runs a few calls of different types.

use std::sync::Arc;

use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use crate::{
    as_completed::AsCompleted,
    call::{Branch, Call},
    outcome::{Outcome, Results},
    recorder::{FanOutGuard, Recorder},
    strategy::{FailurePolicy, Strategy},
};

/// Runs calls with a strategy and a failure policy. The entry point of this crate.
#[derive(Clone, Copy, Debug, Default)]
#[must_use = "nothing runs until calls are joined"]
pub struct FanOut {
    strategy: Strategy,
    policy: FailurePolicy,
}

/// A tuple of 1 to 8 calls or chains, for [`FanOut::join`].
///
/// Implemented by this crate only; public so that signatures can name it.
pub trait Branches {
    /// Each call's own result, in the same shape.
    type Results: Results;

    #[doc(hidden)]
    type Futures: Send;
    /// The number of calls.
    #[doc(hidden)]
    const CALLS: usize;

    #[doc(hidden)]
    fn register(self, recorder: &Recorder) -> Self::Futures;
    #[doc(hidden)]
    fn run(
        futures: Self::Futures,
        strategy: Strategy,
        recorder: &Arc<Recorder>,
    ) -> impl Future<Output = Self::Results> + Send;
}

// === impl FanOut ===

impl FanOut {
    /// Runs calls with this strategy and stops at the first failure.
    pub fn new(strategy: Strategy) -> Self {
        Self { strategy, policy: FailurePolicy::default() }
    }

    /// Sets what happens to the other calls when one fails.
    pub fn on_failure(mut self, policy: FailurePolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Runs a tuple of 1 to 8 calls or chains and waits for all of them.
    ///
    /// A panic in a call is caught, and the call fails with
    /// [`CallError::Panicked`](crate::CallError::Panicked).
    ///
    /// # Cancel safety
    ///
    /// Dropping the returned future drops every call at its current `.await` and aborts
    /// the tasks of [`Strategy::Spawned`]. The span still records the figures.
    ///
    /// # Panics
    ///
    /// Panics if the strategy is [`Strategy::Spawned`] and there is no tokio runtime.
    pub fn join<B: Branches>(self, branches: B) -> impl Future<Output = Outcome<B::Results>> {
        let mut recorder = Arc::new(Recorder::new(self.strategy, self.policy));
        let futures = branches.register(&recorder);
        // Has the futures without their names, and not both.
        async move {
            Arc::get_mut(&mut recorder).expect("nobody else has it yet").start_now();
            let span = recorder.span(B::CALLS);
            let guard = FanOutGuard::new(Arc::clone(&recorder), span.clone());
            let results = B::run(futures, self.strategy, &recorder).instrument(span).await;
            Outcome { results, report: guard.finish() }
        }
    }

    /// Runs any number of calls of one type, at most `max_in_flight` at once, and
    /// yields each result when its call ends.
    ///
    /// A call is taken from the iterator only when it can start at once, and an unread
    /// result counts as in flight. A slow reader therefore slows the calls down, and no
    /// buffer grows. [`Strategy::Sequential`] runs one call at a time. A `max_in_flight`
    /// of 0 is treated as 1.
    pub fn as_completed<I, F, T, E>(self, max_in_flight: usize, calls: I) -> AsCompleted<I::IntoIter, T, E>
    where
        I: IntoIterator<Item = Call<F>>,
        F: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        let width = if self.strategy == Strategy::Sequential { 1 } else { max_in_flight.max(1) };
        AsCompleted::new(self.strategy, self.policy, width, calls.into_iter())
    }
}

// === impl Branches ===

/// Runs a branch in a task of its own.
async fn spawned<B: Branch>(futures: B::Futures, recorder: &Arc<Recorder>, first: usize) -> B::Results {
    let task = tokio::spawn(B::run(futures, Arc::clone(recorder), first).in_current_span());
    // An error means that the runtime was shut down: panics are caught inside the task.
    AbortOnDropHandle::new(task).await.unwrap_or_else(|_| B::cancelled())
}

macro_rules! impl_branches {
    ($($B:ident.$i:tt),+) => {
        impl<Err, $($B),+> Branches for ($($B,)+)
        where
            $($B: Branch<Results: Results<Error = Err>>),+
        {
            type Results = ($($B::Results,)+);
            type Futures = ($($B::Futures,)+);
            const CALLS: usize = 0 $(+ $B::CALLS)+;

            fn register(self, recorder: &Recorder) -> Self::Futures {
                recorder.reserve(Self::CALLS);
                ($(self.$i.register(recorder, $i),)+)
            }

            fn run(
                futures: Self::Futures,
                strategy: Strategy,
                recorder: &Arc<Recorder>,
            ) -> impl Future<Output = Self::Results> + Send {
                // The index of each branch's first call in the report.
                let mut next = 0;
                let mut first_of = |calls: usize| {
                    let first = next;
                    next += calls;
                    first
                };
                let first = ($(first_of($B::CALLS),)+);
                async move {
                    match strategy {
                        Strategy::Sequential => ($($B::run(futures.$i, Arc::clone(recorder), first.$i).await,)+),
                        Strategy::Concurrent => futures::join!($($B::run(futures.$i, Arc::clone(recorder), first.$i)),+),
                        Strategy::Spawned => futures::join!($(spawned::<$B>(futures.$i, recorder, first.$i)),+),
                    }
                }
            }
        }
    };
}

impl_branches!(A.0);
impl_branches!(A.0, B.1);
impl_branches!(A.0, B.1, C.2);
impl_branches!(A.0, B.1, C.2, D.3);
impl_branches!(A.0, B.1, C.2, D.3, E.4);
impl_branches!(A.0, B.1, C.2, D.3, E.4, F.5);
impl_branches!(A.0, B.1, C.2, D.3, E.4, F.5, G.6);
impl_branches!(A.0, B.1, C.2, D.3, E.4, F.5, G.6, H.7);
