//! Tokens that were right.
//!
//! To check a signature takes 16 µs of a core for RS256, 59 µs for ES256 and 105 µs for Ed25519 (`openssl speed`), which may be
//! as much as all the rest that a gateway does for a request. To find a token here takes about 1 µs: see
//! `the_cost_of_a_check` in `tokens`.

use std::{collections::HashMap, sync::PoisonError};

use aws_lc_rs::digest;
use rpc_layers::identity::Identity;

/// How many tokens each of the two generations has: 2 MiB together.
const MAX_TOKENS: usize = 4096;

/// The SHA-256 of a token: the cache keeps no secrets.
pub(super) type TokenHash = [u8; 32];

/// The tokens that a set of keys has signed, with their identities. Bounded: of many tokens, the latest are kept.
#[derive(Debug, Default)]
pub(super) struct TokenCache(std::sync::Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<TokenHash, CachedToken>,
    old: HashMap<TokenHash, CachedToken>,
}

/// A token that was right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CachedToken {
    pub(super) identity: Identity,
    /// When it expires, in seconds of the Unix epoch.
    pub(super) expires: u64,
}

// === impl TokenCache ===

impl TokenCache {
    /// Returns what is known of a token.
    pub(super) fn get(&self, token: &TokenHash) -> Option<CachedToken> {
        let mut generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = generations.young.get(token) {
            return Some(found.clone());
        }
        let found = generations.old.remove(token)?;
        generations.add(*token, found.clone());
        Some(found)
    }

    /// Adds a token that was right.
    pub(super) fn add(&self, token: TokenHash, cached: CachedToken) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).add(token, cached);
    }
}

// === impl Generations ===

impl Generations {
    fn add(&mut self, token: TokenHash, cached: CachedToken) {
        if self.young.len() >= MAX_TOKENS {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(token, cached);
    }
}

/// Returns the key of a token.
pub(super) fn hash(token: &str) -> TokenHash {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use rpc_layers::identity::Mechanism;

    use super::*;

    #[test]
    fn it_is_bounded_and_keeps_what_is_used() {
        let cache = TokenCache::default();
        let cached = |name: String| CachedToken { identity: Identity::new(Mechanism::Token, name), expires: 7 };
        cache.add(hash("used"), cached("used".to_owned()));
        for number in 0..3 * MAX_TOKENS {
            cache.add(hash(&number.to_string()), cached(number.to_string()));
            assert!(cache.get(&hash("used")).is_some(), "{number}");
        }
        let generations = cache.0.lock().unwrap();
        assert!(generations.young.len() <= MAX_TOKENS && generations.old.len() <= MAX_TOKENS);
    }
}
