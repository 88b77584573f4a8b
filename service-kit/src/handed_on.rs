//! What a request hands on to the calls that are made for it.

use http::{Extensions, HeaderMap, HeaderValue, header::HeaderName};

use crate::deadline::Deadline;

/// The W3C Baggage header.
const BAGGAGE: HeaderName = HeaderName::from_static("baggage");

/// A request's deadline and baggage. The trace needs no place here: it is that of the
/// current span.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct HandedOn {
    /// Until when the caller waits.
    pub deadline: Option<Deadline>,
    baggage: Baggage,
}

/// W3C Baggage as it came, so that what this process cannot read still reaches the one
/// that can, which then says what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Baggage(Vec<HeaderValue>);

// === impl HandedOn ===

impl HandedOn {
    /// Takes what the server's deadline layer and the caller's headers say.
    pub fn of(extensions: &Extensions, headers: &HeaderMap) -> Self {
        let baggage = Baggage(headers.get_all(BAGGAGE).iter().cloned().collect());
        Self { deadline: extensions.get().copied(), baggage }
    }

    /// The same without a deadline: two requests that hand on the same otherwise get the same answers.
    #[must_use]
    pub fn without_deadline(&self) -> Self {
        Self { deadline: None, baggage: self.baggage.clone() }
    }

    /// Puts both into the extensions of a call, where the client's deadline and trace
    /// layers find them.
    pub fn put_into(&self, extensions: &mut Extensions) {
        if let Some(deadline) = self.deadline {
            extensions.insert(deadline);
        }
        if !self.baggage.0.is_empty() {
            extensions.insert(self.baggage.clone());
        }
    }
}

// === impl Baggage ===

impl Baggage {
    pub(crate) fn put_into(&self, headers: &mut HeaderMap) {
        for value in &self.0 {
            headers.append(BAGGAGE, value.clone());
        }
    }
}
