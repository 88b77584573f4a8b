//! Each call's own result, and the report beside them.

use std::borrow::Cow;

use crate::report::{CallState, Report};

/// What came of a fan-out.
///
/// `R` holds each call's own result in the shape in which the calls were joined: for
/// `join((a, b))` it is `(Result<A, CallError<E>>, Result<B, CallError<E>>)`.
#[derive(Debug)]
#[must_use = "a failed call is only seen by looking"]
pub struct Outcome<R> {
    /// Each call's own result.
    pub results: R,
    /// When each call ran, and what that saved.
    pub report: Report,
}

/// Why a call has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError<E> {
    /// The call answered with an error.
    #[error("{0}")]
    Failed(#[source] E),
    /// The call panicked, with this message.
    #[error("panicked: {0}")]
    Panicked(String),
    /// The call was stopped while it ran, because another one failed.
    #[error("cancelled because another call failed")]
    Cancelled,
    /// The call never started, because another one had failed before.
    #[error("skipped because another call failed")]
    Skipped,
}

/// A fan-out that has no complete answer: the call that failed first, and the report.
#[derive(Debug, thiserror::Error)]
#[error("call {name:?}: {error}")]
pub struct FanOutError<E> {
    /// The call's name.
    pub name: Cow<'static, str>,
    /// Where the call stands in [`Report::calls`].
    pub index: usize,
    /// Why it failed.
    #[source]
    pub error: CallError<E>,
    /// When each call ran.
    pub report: Report,
}

/// Results of calls: one, or a tuple of them.
///
/// Implemented here only: it is public so that signatures can name it.
pub trait Results {
    /// The values where every call has one, in the same shape.
    type Values;
    /// The error that all calls have in common.
    type Error;

    #[doc(hidden)]
    fn errors<'a>(&'a self, errors: &mut Vec<Option<&'a CallError<Self::Error>>>);
    #[doc(hidden)]
    fn split(self, errors: &mut Vec<Option<CallError<Self::Error>>>) -> Option<Self::Values>;
}

// === impl Outcome ===

impl<R: Results> Outcome<R> {
    /// All values and the report, where every call has a value.
    ///
    /// # Errors
    ///
    /// The failure that came first in time. Where other calls failed too, their errors
    /// are dropped: to see them all, call [`errors`](Self::errors) before.
    #[allow(clippy::missing_panics_doc, reason = "the invariants hold for every `Results`")]
    #[allow(clippy::result_large_err, reason = "moved once, on the way out of a failed request")]
    pub fn into_result(self) -> Result<(R::Values, Report), FanOutError<R::Error>> {
        let first = self.first_failure().map(|(index, _)| index);
        let Self { results, report } = self;
        let mut errors = Vec::with_capacity(report.calls.len());
        if let Some(values) = results.split(&mut errors) {
            return Ok((values, report));
        }
        let index = first.expect("values are missing only where a call has an error");
        let error = errors.swap_remove(index).expect("a failed call has an error");
        Err(FanOutError { name: report.calls[index].name.clone(), index, error, report })
    }

    /// The failure that came first in time, and where its call stands in
    /// [`Report::calls`].
    pub fn first_failure(&self) -> Option<(usize, &CallError<R::Error>)> {
        let errors = self.errors();
        let calls = &self.report.calls;
        let index = (0..errors.len())
            .filter(|index| calls[*index].state == CallState::Failed)
            .min_by_key(|index| calls[*index].end())
            // Without a failure a call can only have been lost with its runtime.
            .or_else(|| errors.iter().position(Option::is_some))?;
        Some((index, errors[index]?))
    }

    /// Each call's error, in the order of [`Report::calls`].
    pub fn errors(&self) -> Vec<Option<&CallError<R::Error>>> {
        let mut errors = Vec::with_capacity(self.report.calls.len());
        self.results.errors(&mut errors);
        errors
    }
}

// === impl Results ===

impl<T, E> Results for Result<T, CallError<E>> {
    type Values = T;
    type Error = E;

    fn errors<'a>(&'a self, errors: &mut Vec<Option<&'a CallError<E>>>) {
        errors.push(self.as_ref().err());
    }

    fn split(self, errors: &mut Vec<Option<CallError<E>>>) -> Option<T> {
        match self {
            Ok(value) => {
                errors.push(None);
                Some(value)
            }
            Err(error) => {
                errors.push(Some(error));
                None
            }
        }
    }
}

macro_rules! impl_results {
    ($($R:ident.$i:tt),+) => {
        impl<Err, $($R),+> Results for ($($R,)+)
        where
            $($R: Results<Error = Err>),+
        {
            type Values = ($($R::Values,)+);
            type Error = Err;

            fn errors<'a>(&'a self, errors: &mut Vec<Option<&'a CallError<Err>>>) {
                $(self.$i.errors(errors);)+
            }

            fn split(self, errors: &mut Vec<Option<CallError<Err>>>) -> Option<Self::Values> {
                // Every result is split, whatever came of the ones before it.
                let values = ($(self.$i.split(errors),)+);
                Some(($(values.$i?,)+))
            }
        }
    };
}

impl_results!(A.0);
impl_results!(A.0, B.1);
impl_results!(A.0, B.1, C.2);
impl_results!(A.0, B.1, C.2, D.3);
impl_results!(A.0, B.1, C.2, D.3, E.4);
impl_results!(A.0, B.1, C.2, D.3, E.4, F.5);
impl_results!(A.0, B.1, C.2, D.3, E.4, F.5, G.6);
impl_results!(A.0, B.1, C.2, D.3, E.4, F.5, G.6, H.7);
