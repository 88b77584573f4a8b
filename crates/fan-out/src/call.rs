//! Named futures, and chains of them.

use std::{borrow::Cow, future::Future, sync::Arc};

pub use crate::attempts::Attempts;
use crate::{
    label::Label,
    outcome::{CallError, Results},
    recorder::Recorder,
};

/// Names a future so that it can be run and reported.
///
/// The future does not start here, but when a strategy first polls it.
pub fn call<F, T, E>(name: impl Into<Cow<'static, str>>, future: F) -> Call<F>
where
    F: Future<Output = Result<T, E>>,
{
    Call { label: Label::new(name.into()), future }
}

/// A named future, made by [`call`].
#[derive(Debug)]
#[must_use = "a call does nothing until it is joined"]
pub struct Call<F> {
    pub(crate) label: Label,
    pub(crate) future: F,
}

/// Names a function that makes the next call of a chain from the previous call's value.
pub fn step<G>(name: impl Into<Cow<'static, str>>, make: G) -> Step<G> {
    Step { label: Label::new(name.into()), make }
}

/// A named function that makes the next call of a chain, made by [`step`].
#[derive(Debug)]
#[must_use = "a step does nothing until a call is chained to it"]
pub struct Step<G> {
    label: Label,
    make: G,
}

/// A chain of calls, each of which needs the value of the one before.
#[derive(Debug)]
#[must_use = "a chain does nothing until it is joined"]
pub struct Then<B, G> {
    before: B,
    step: Step<G>,
}

/// A [`Call`] or a chain of calls, which can be joined with others.
///
/// Implemented by this crate only; public so that signatures can name it.
pub trait Branch: Send + 'static {
    /// Each call's own result: a `Result`, or a pair `(before, last)` for a chain.
    type Results: Results + Send + 'static;
    /// The value of the last call.
    type Last;
    /// The futures without their names, which the recorder has: thousands of these may be alive at once.
    #[doc(hidden)]
    type Futures: Send + 'static;
    /// The number of calls.
    const CALLS: usize;

    #[doc(hidden)]
    fn register(self, recorder: &Recorder, chain: u32) -> Self::Futures;
    #[doc(hidden)]
    fn run(
        futures: Self::Futures,
        recorder: Arc<Recorder>,
        first: usize,
    ) -> impl Future<Output = Self::Results> + Send + 'static;
    #[doc(hidden)]
    fn last(results: &Self::Results) -> Option<&Self::Last>;
    #[doc(hidden)]
    fn cancelled() -> Self::Results;
}

// === impl Call ===

impl<F> Call<F> {
    /// Replaces the name.
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.label.name = name.into();
        self
    }

    /// Sets the method that the report shows, such as `fanout.user.v1.UserService/GetUser`.
    pub fn method(mut self, method: impl Into<Cow<'static, str>>) -> Self {
        self.label.method = method.into();
        self
    }

    /// Reports this count of attempts instead of 1.
    pub fn attempts(mut self, attempts: &Attempts) -> Self {
        self.label.attempts = Some(attempts.clone());
        self
    }

    /// Chains a call that is made from this one's value.
    ///
    /// The next call is skipped if this one fails, under every failure policy, because its
    /// input is missing.
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
    type Futures = F;
    const CALLS: usize = 1;

    fn register(self, recorder: &Recorder, chain: u32) -> F {
        recorder.register(self.label, Some(chain));
        self.future
    }

    fn run(future: F, recorder: Arc<Recorder>, first: usize) -> impl Future<Output = Self::Results> + Send + 'static {
        recorder.run(first, future)
    }

    fn last(results: &Self::Results) -> Option<&T> {
        results.as_ref().ok()
    }

    fn cancelled() -> Self::Results {
        Err(CallError::Cancelled)
    }
}

// === impl Step ===

impl<G> Step<G> {
    /// Sets the method that the report shows.
    pub fn method(mut self, method: impl Into<Cow<'static, str>>) -> Self {
        self.label.method = method.into();
        self
    }

    /// Reports this count of attempts instead of 1.
    pub fn attempts(mut self, attempts: &Attempts) -> Self {
        self.label.attempts = Some(attempts.clone());
        self
    }
}

// === impl Then ===

impl<B, G> Then<B, G> {
    /// Chains a call that is made from the last call's value.
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
    type Futures = (B::Futures, G);
    const CALLS: usize = B::CALLS + 1;

    fn register(self, recorder: &Recorder, chain: u32) -> Self::Futures {
        let before = self.before.register(recorder, chain);
        recorder.register(self.step.label, Some(chain));
        (before, self.step.make)
    }

    async fn run((before, make): Self::Futures, recorder: Arc<Recorder>, first: usize) -> Self::Results {
        let before = B::run(before, Arc::clone(&recorder), first).await;
        let last = first + B::CALLS;
        let result = match B::last(&before) {
            // The function runs inside the call, so a panic in it is this call's failure.
            Some(input) => Arc::clone(&recorder).run(last, async { make(input).await }).await,
            None => Err(recorder.skip(last)),
        };
        (before, result)
    }

    fn last(results: &Self::Results) -> Option<&T> {
        results.1.as_ref().ok()
    }

    fn cancelled() -> Self::Results {
        (B::cancelled(), Err(CallError::Cancelled))
    }
}
