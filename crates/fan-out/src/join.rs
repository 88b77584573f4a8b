//! A few calls of different types at once.

use std::sync::Arc;

use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use crate::{
    as_completed::AsCompleted,
    call::{Branch, Call},
    outcome::{Outcome, Results},
    recorder::{Finish, Recorder},
    strategy::{FailurePolicy, Strategy},
};

/// How to run calls: start here.
#[derive(Clone, Copy, Debug, Default)]
#[must_use = "nothing runs until calls are joined"]
pub struct FanOut {
    strategy: Strategy,
    policy: FailurePolicy,
}

/// What [`FanOut::join`] takes: a tuple of 1 to 8 calls or chains.
///
/// Implemented here only: it is public so that signatures can name it.
pub trait Branches {
    /// Each call's own result, in the same shape.
    type Results: Results;

    #[doc(hidden)]
    fn declare(&self, recorder: &Recorder) -> usize;
    #[doc(hidden)]
    fn run(self, strategy: Strategy, recorder: &Arc<Recorder>) -> impl Future<Output = Self::Results> + Send;
}

// === impl FanOut ===

impl FanOut {
    /// Runs calls by this strategy, and stops at the first failure.
    pub fn new(strategy: Strategy) -> Self {
        Self { strategy, policy: FailurePolicy::default() }
    }

    /// Chooses what one call's failure does to the others.
    pub fn on_failure(mut self, policy: FailurePolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Runs 1 to 8 calls or chains, given as a tuple, and waits for them all.
    ///
    /// A call that panics fails with [`CallError::Panicked`](crate::CallError::Panicked);
    /// the panic goes no further.
    ///
    /// # Cancel safety
    ///
    /// Dropping the returned future drops every call where it waits, and aborts the
    /// tasks of [`Strategy::Spawned`]. The span still gets the figures.
    ///
    /// # Panics
    ///
    /// [`Strategy::Spawned`] panics outside a tokio runtime.
    #[expect(
        clippy::manual_async_fn,
        reason = "it would keep room for its arguments twice, and thousands of these wait"
    )]
    pub fn join<B: Branches>(self, branches: B) -> impl Future<Output = Outcome<B::Results>> {
        async move {
            let recorder = Arc::new(Recorder::new(self.strategy, self.policy));
            let span = recorder.span(branches.declare(&recorder));
            let finish = Finish::new(Arc::clone(&recorder), span.clone());
            let results = branches.run(self.strategy, &recorder).instrument(span).await;
            Outcome { results, report: finish.report() }
        }
    }

    /// Runs any number of calls of one type, at most `max_in_flight` at once, and
    /// yields each result as soon as it is there.
    ///
    /// Calls are taken from the iterator only when there is room for them, and a result
    /// that nobody has taken yet occupies its place: a slow reader slows the calls, and
    /// no buffer grows. [`Strategy::Sequential`] runs one at a time. A `max_in_flight`
    /// of 0 counts as 1.
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

/// A branch in a task of its own.
async fn spawned<B: Branch>(branch: B, recorder: &Arc<Recorder>, first: usize) -> B::Results {
    let task = tokio::spawn(branch.run(Arc::clone(recorder), first).in_current_span());
    // An error means that the runtime went away under the task: panics are caught within.
    AbortOnDropHandle::new(task).await.unwrap_or_else(|_| B::lost())
}

macro_rules! impl_branches {
    ($($B:ident.$i:tt),+) => {
        impl<Err, $($B),+> Branches for ($($B,)+)
        where
            $($B: Branch<Results: Results<Error = Err>>),+
        {
            type Results = ($($B::Results,)+);

            fn declare(&self, recorder: &Recorder) -> usize {
                let calls = 0 $(+ $B::CALLS)+;
                recorder.reserve(calls);
                $(self.$i.declare(recorder, $i);)+
                calls
            }

            fn run(self, strategy: Strategy, recorder: &Arc<Recorder>) -> impl Future<Output = Self::Results> + Send {
                // Where each branch's calls begin in the report.
                let mut next = 0;
                let mut place = |calls: usize| {
                    let first = next;
                    next += calls;
                    first
                };
                let first = ($(place($B::CALLS),)+);
                async move {
                    match strategy {
                        Strategy::Sequential => ($(self.$i.run(Arc::clone(recorder), first.$i).await,)+),
                        Strategy::Concurrent => futures::join!($(self.$i.run(Arc::clone(recorder), first.$i)),+),
                        Strategy::Spawned => futures::join!($(spawned(self.$i, recorder, first.$i)),+),
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
