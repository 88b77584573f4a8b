//! The credentials of a request.

use std::fmt;

use http::{HeaderMap, header::AUTHORIZATION};

use super::{Denial, Identity};
use crate::peer::Peer;

/// The longest credentials that are looked at, in bytes. Tokens with many claims are shorter.
const MAX_LEN: usize = 8192;

/// Checks credentials. Called for each request, so it must not block.
pub trait CheckCredentials: fmt::Debug + Send + Sync + 'static {
    /// Returns whose credentials these are: the part of the header `authorization` after `Bearer`. `peer` is the other
    /// end of the connection, if the server knows it.
    ///
    /// # Errors
    ///
    /// Returns why they are not accepted.
    fn check(&self, bearer: &str, peer: Option<&Peer>) -> Result<Identity, Denial>;

    /// Returns the identity of the peer's certificate, if that counts as credentials. Asked for requests without others.
    fn certificate(&self, peer: &Peer) -> Option<Identity>;
}

/// Returns the part of the header `authorization` after `Bearer`, or `None` if there is no such header.
pub(super) fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Denial> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Denial::malformed("there is more than one header authorization"));
    }
    if value.len() > MAX_LEN {
        return Err(Denial::malformed("the header authorization is longer than 8192 bytes"));
    }
    let not_bearer = || Denial::malformed("the header authorization is not Bearer with a key or a token");
    let (scheme, bearer) = value.to_str().ok().and_then(|text| text.trim().split_once(' ')).ok_or_else(not_bearer)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(Some(bearer.trim())) } else { Err(not_bearer()) }
}
