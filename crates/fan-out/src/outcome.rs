//! Each call's own result, with the report.

use std::borrow::Cow;

use crate::report::{CallState, Report};

/// The results and the report of a fan-out.
///
/// `R` holds each call's own result in the shape in which the calls were joined: for
/// `join((a, b))` it is `(Result<A, CallError<E>>, Result<B, CallError<E>>)`.
#[derive(Debug)]
#[must_use = "a failed call shows only in the results"]
pub struct Outcome<R> {
    /// Each call's own result.
    pub results: R,
    /// When each call ran, and how much overlapping saved.
    pub report: Report,
}

/// Why a call has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError<E> {
    /// The call returned an error.
    #[error("{0}")]
    Failed(#[source] E),
    /// The call panicked, with this message.
    #[error("panicked: {0}")]
    Panicked(String),
    /// The call was stopped while it ran because another one failed.
    #[error("cancelled because another call failed")]
    Cancelled,
    /// The call never started because another one had failed.
    #[error("skipped because another call failed")]
    Skipped,
}

/// The failure of a fan-out: the call that failed first, and the report.
#[derive(Debug, thiserror::Error)]
#[error("call {name:?}: {error}")]
pub struct FanOutError<E> {
    /// The call's name.
    pub name: Cow<'static, str>,
    /// The call's index in [`Report::calls`].
    pub index: usize,
    /// Why it failed.
    #[source]
    pub error: CallError<E>,
    /// When each call ran.
    pub report: Report,
}

/// The result of one call, or a tuple of results.
///
/// Implemented by this crate only; public so that signatures can name it.
pub trait Results {
    /// The values in the same shape.
    type Values;
    /// The error type that all calls share.
    type Error;

    #[doc(hidden)]
    fn errors<'a>(&'a self, errors: &mut Vec<Option<&'a CallError<Self::Error>>>);
    #[doc(hidden)]
    fn split(self, errors: &mut Vec<Option<CallError<Self::Error>>>) -> Option<Self::Values>;
}

// === impl Outcome ===

impl<R: Results> Outcome<R> {
    /// Returns all values and the report.
    ///
    /// # Errors
    ///
    /// Returns the failure that came first in time if any call has no value. The errors of
    /// other calls are dropped: call [`errors`](Self::errors) before to see all of them.
    #[allow(clippy::missing_panics_doc, reason = "the invariants hold for every `Results`")]
    #[allow(clippy::result_large_err, reason = "moved once, when a request fails")]
    pub fn into_result(self) -> Result<(R::Values, Report), FanOutError<R::Error>> {
        let first = self.first_failure().map(|(index, _)| index);
        let Self { results, report } = self;
        let mut errors = Vec::with_capacity(report.calls.len());
        if let Some(values) = results.split(&mut errors) {
            return Ok((values, report));
        }
        let index = first.expect("a value is missing only if its call has an error");
        let error = errors.swap_remove(index).expect("a failed call has an error");
        Err(FanOutError { name: report.calls[index].name.clone(), index, error, report })
    }

    /// Returns the failure that came first in time, with its call's index in
    /// [`Report::calls`].
    pub fn first_failure(&self) -> Option<(usize, &CallError<R::Error>)> {
        let calls = &self.report.calls;
        if calls.iter().all(|call| call.state == CallState::Ok) {
            return None;
        }
        let errors = self.errors();
        let index = (0..errors.len())
            .filter(|index| calls[*index].state == CallState::Failed)
            .min_by_key(|index| calls[*index].end())
            // Without a failure, only a runtime shut-down can have cancelled a call.
            .or_else(|| errors.iter().position(Option::is_some))?;
        Some((index, errors[index]?))
    }

    /// Returns each call's error, if any, in the order of [`Report::calls`].
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
                // Splits every result first, so that `errors` has an entry for each call.
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
