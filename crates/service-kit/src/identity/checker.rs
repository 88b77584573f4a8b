//! Finds out which mechanism a request uses.

use std::sync::Arc;

use rpc_layers::{
    identity::{CheckCredentials, Denial, Identity, Mechanism},
    peer::Peer,
};
use tokio::sync::watch;

use super::{
    api_keys::{ApiKeys, PREFIX},
    tokens::Tokens,
};

const UNKNOWN_KEY: Denial = Denial::unauthenticated("UNKNOWN_API_KEY", "the API key is unknown");
const NO_KEYS: Denial = Denial::unauthenticated("API_KEYS_NOT_ACCEPTED", "API keys are not accepted here");
const NO_TOKENS: Denial =
    Denial::unauthenticated("TOKENS_NOT_ACCEPTED", "tokens are not accepted here, and this is no API key");

/// Checks the credentials of each mechanism that is on.
#[derive(Debug, Default)]
pub(super) struct Checker {
    pub(super) api_keys: Option<watch::Receiver<Arc<ApiKeys>>>,
    pub(super) tokens: Option<Tokens>,
    pub(super) certificates: bool,
}

// === impl Checker ===

impl Checker {
    /// Returns whether any mechanism is on.
    pub(super) fn is_on(&self) -> bool {
        self.api_keys.is_some() || self.tokens.is_some() || self.certificates
    }
}

impl CheckCredentials for Checker {
    fn check(&self, bearer: &str, peer: Option<&Peer>) -> Result<Identity, Denial> {
        if bearer.starts_with(PREFIX) {
            let keys = self.api_keys.as_ref().ok_or(NO_KEYS)?;
            return keys.borrow().identity(bearer).ok_or(UNKNOWN_KEY);
        }
        self.tokens.as_ref().ok_or(NO_TOKENS)?.check(bearer, peer)
    }

    fn certificate(&self, peer: &Peer) -> Option<Identity> {
        let certificate = peer.certificate.as_ref().filter(|_| self.certificates)?;
        certificate.names.first().map(|name| Identity::new(Mechanism::Certificate, name.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use rpc_layers::peer::PeerCertificate;

    use super::*;

    fn reason(checker: &Checker, bearer: &str) -> &'static str {
        checker.check(bearer, None).unwrap_err().reason()
    }

    #[test]
    fn a_mechanism_that_is_off_accepts_nothing() {
        let off = Checker::default();
        assert!(!off.is_on());
        assert_eq!(reason(&off, "fo_x"), "API_KEYS_NOT_ACCEPTED");
        assert_eq!(reason(&off, "x.y.z"), "TOKENS_NOT_ACCEPTED");
        let (_sender, keys) = watch::channel(Arc::default());
        let on = Checker { api_keys: Some(keys), ..Checker::default() };
        assert!(on.is_on());
        assert_eq!(reason(&on, "fo_x"), "UNKNOWN_API_KEY");
        assert_eq!(reason(&on, "x"), "TOKENS_NOT_ACCEPTED");
    }

    #[test]
    fn a_certificate_is_its_first_name() {
        let names = ["spiffe://example.org/web".to_owned(), "web.example.org".to_owned()];
        let mut peer = Peer { address: ([192, 0, 2, 1], 7).into(), connection: 0, certificate: None };
        let on = Checker { certificates: true, ..Checker::default() };
        assert!(on.is_on() && on.certificate(&peer).is_none());
        peer.certificate = Some(PeerCertificate { names: names.into() });
        assert_eq!(on.certificate(&peer).unwrap().to_string(), "certificate:spiffe://example.org/web");
        assert_eq!(Checker::default().certificate(&peer), None, "it is off");
        peer.certificate = Some(PeerCertificate::default());
        assert_eq!(on.certificate(&peer), None, "it has no name");
    }
}
