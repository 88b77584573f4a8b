//! The caller of a request, as far as it is known.

use http::{Extensions, HeaderMap};

use super::Identity;
use crate::baggage::Baggage;

/// The caller of a request. [`AuthenticateLayer`](super::AuthenticateLayer) puts it into the request's extensions.
///
/// A server without that layer has no callers in this sense: it takes what every request brings along.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    /// Who it is. `None` if it has not said so, and need not.
    pub identity: Option<Identity>,
    /// Whether its context counts: its baggage is passed on, and its trace is continued. The context of others could
    /// have every request sampled, or reach services that trust it.
    pub is_trusted: bool,
    /// The baggage that was taken from the request of a caller that is not trusted.
    pub dropped_baggage: Baggage,
}

// === impl Caller ===

impl Caller {
    /// Returns the caller of a request, if a layer has put it into these extensions.
    pub fn of(extensions: &Extensions) -> Option<&Self> {
        extensions.get()
    }

    /// Returns whether the context of a request counts, which it does unless a layer says otherwise.
    pub fn is_trusted(extensions: &Extensions) -> bool {
        Self::of(extensions).is_none_or(|caller| caller.is_trusted)
    }

    /// Returns the caller with this identity, and removes from its headers what it may not send.
    pub(super) fn new(identity: Option<Identity>, trust_anonymous: bool, headers: &mut HeaderMap) -> Self {
        let is_trusted = identity.is_some() || trust_anonymous;
        let dropped_baggage = if is_trusted { Baggage::default() } else { Baggage::take(headers) };
        Self { identity, is_trusted, dropped_baggage }
    }
}
