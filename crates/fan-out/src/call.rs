//! A named future, and chains of them.

use std::{borrow::Cow, future::Future, sync::Arc};

pub use crate::attempts::Attempts;
use crate::{
    label::Label,
    outcome::{CallError, Results},
    recorder::Recorder,
};

/// Names a future, so that it can be run and reported.
///
/// The future starts when a strategy first polls it, not here.
pub fn call<F, T, E>(name: impl Into<Cow<'static, str>>, future: F) -> Call<F>
where
    F: Future<Output = Result<T, E>>,
{
    Call { label: Label::new(name.into()), future }
}

/// A named future: see [`call`].
#[derive(Debug)]
#[must_use = "a call does nothing until it is joined"]
pub struct Call<F> {
    pub(crate) label: Label,
    pub(crate) future: F,
}

/// Names a call that is made from another one's answer.
pub fn step<G>(name: impl Into<Cow<'static, str>>, make: G) -> Step<G> {
    Step { label: Label::new(name.into()), make }
}

/// A named function from an answer to the next call of a chain: see [`step`].
#[derive(Debug)]
#[must_use = "a step does nothing until a call is chained to it"]
pub struct Step<G> {
    label: Label,
    make: G,
}

/// A chain: calls of which each needs the answer of the one before.
#[derive(Debug)]
#[must_use = "a chain does nothing until it is joined"]
pub struct Then<B, G> {
    before: B,
    step: Step<G>,
}

/// What can be joined: a [`Call`] or a chain of them.
///
/// Implemented here only: it is public so that signatures can name it.
pub trait Branch: Send + 'static {
    /// Each call's own result: a `Result`, or a pair `(before, last)` for a chain.
    type Results: Results + Send + 'static;
    /// What the last call answers with.
    type Last;
    /// How many calls it holds.
    const CALLS: usize;

    #[doc(hidden)]
    fn declare(&self, recorder: &Recorder, chain: u32);
    #[doc(hidden)]
    fn run(self, recorder: Arc<Recorder>, first: usize) -> impl Future<Output = Self::Results> + Send + 'static;
    #[doc(hidden)]
    fn last(results: &Self::Results) -> Option<&Self::Last>;
    #[doc(hidden)]
    fn lost() -> Self::Results;
}

// === impl Call ===

impl<F> Call<F> {
    /// Another name than the one it was made with.
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.label.name = name.into();
        self
    }

    /// The method that is called, for the report: `fanout.user.v1.UserService/GetUser`.
    pub fn method(mut self, method: impl Into<Cow<'static, str>>) -> Self {
        self.label.method = method.into();
        self
    }

    /// Reports this count instead of 1.
    pub fn attempts(mut self, attempts: &Attempts) -> Self {
        self.label.attempts = Some(attempts.clone());
        self
    }

    /// Runs another call on this one's answer.
    ///
    /// The other is skipped where this one fails: its input is missing, whatever the
    /// failure policy.
    pub fn then<G, F2>(self, step: Step<G>) -> Then<Self, G>
    where
        Self: Branch,
        G: FnOnce(&<Self as Branch>::Last) -> F2,
    {
        Then { before: self, step }
    }
}

impl<F, T, E> Branch for Call<F>
where
    F: Future<Output = Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    type Results = Result<T, CallError<E>>;
    type Last = T;
    const CALLS: usize = 1;

    fn declare(&self, recorder: &Recorder, chain: u32) {
        recorder.declare(self.label.clone(), Some(chain));
    }

    fn run(self, recorder: Arc<Recorder>, first: usize) -> impl Future<Output = Self::Results> + Send + 'static {
        // Not the label, which the recorder has: thousands of these wait at once.
        let future = self.future;
        async move { recorder.run(first, future).await }
    }

    fn last(results: &Self::Results) -> Option<&T> {
        results.as_ref().ok()
    }

    fn lost() -> Self::Results {
        Err(CallError::Cancelled)
    }
}

// === impl Step ===

impl<G> Step<G> {
    /// The method that is called, for the report.
    pub fn method(mut self, method: impl Into<Cow<'static, str>>) -> Self {
        self.label.method = method.into();
        self
    }

    /// Reports this count instead of 1.
    pub fn attempts(mut self, attempts: &Attempts) -> Self {
        self.label.attempts = Some(attempts.clone());
        self
    }
}

// === impl Then ===

impl<B, G> Then<B, G> {
    /// Runs another call on the last one's answer.
    pub fn then<G2, F2>(self, step: Step<G2>) -> Then<Self, G2>
    where
        Self: Branch,
        G2: FnOnce(&<Self as Branch>::Last) -> F2,
    {
        Then { before: self, step }
    }
}

impl<B, G, F, T, E> Branch for Then<B, G>
where
    B: Branch<Results: Results<Error = E>>,
    B::Last: Sync,
    G: FnOnce(&B::Last) -> F + Send + 'static,
    F: Future<Output = Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
    (B::Results, Result<T, CallError<E>>): Results,
{
    type Results = (B::Results, Result<T, CallError<E>>);
    type Last = T;
    const CALLS: usize = B::CALLS + 1;

    fn declare(&self, recorder: &Recorder, chain: u32) {
        self.before.declare(recorder, chain);
        recorder.declare(self.step.label.clone(), Some(chain));
    }

    async fn run(self, recorder: Arc<Recorder>, first: usize) -> Self::Results {
        let before = self.before.run(Arc::clone(&recorder), first).await;
        let last = first + B::CALLS;
        let result = match B::last(&before) {
            // Made inside the call, so that a panic there is this call's failure too.
            Some(input) => {
                let make = self.step.make;
                recorder.run(last, async { make(input).await }).await
            }
            None => Err(recorder.skip(last)),
        };
        (before, result)
    }

    fn last(results: &Self::Results) -> Option<&T> {
        results.1.as_ref().ok()
    }

    fn lost() -> Self::Results {
        (B::lost(), Err(CallError::Cancelled))
    }
}
