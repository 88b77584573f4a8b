//! The keys that sign tokens: a JWK set (RFC 7517).

use std::fmt;

use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

use super::token_cache::TokenCache;

/// The public keys of an issuer, for algorithms that are allowed.
pub(super) struct KeySet {
    keys: Vec<SigningKey>,
    /// What these keys have signed. Dropped with them.
    pub(super) verified: TokenCache,
}

struct SigningKey {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

/// Why no key fits a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoKey {
    /// The set has no key with the token's id.
    Unknown,
    /// The key with that id is for another algorithm.
    OtherAlgorithm,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

/// The members of a JWK that count here.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// Returns the algorithm of a token, if it is allowed. All are asymmetric: with HMAC, anybody who knows the public key
/// could sign.
pub(super) fn allowed_algorithm(name: &str) -> Option<Algorithm> {
    match name {
        "RS256" => Some(Algorithm::RS256),
        "ES256" => Some(Algorithm::ES256),
        "EdDSA" => Some(Algorithm::EdDSA),
        _ => None,
    }
}

// === impl KeySet ===

impl KeySet {
    /// Reads a JWK set. Keys for other purposes or algorithms are left out.
    ///
    /// # Errors
    ///
    /// Returns an error if the text is not a JWK set, or none of its keys is left.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let document: Document = serde_json::from_str(text).map_err(|error| format!("is no JWK set: {error}"))?;
        let jwks = document.keys.into_iter().filter_map(|key| Jwk::deserialize(key).ok());
        let keys: Vec<_> = jwks.filter_map(Jwk::into_signing_key).collect();
        if keys.is_empty() {
            return Err("is a JWK set without a public key for RS256, ES256 or EdDSA".to_owned());
        }
        Ok(Self { keys, verified: TokenCache::default() })
    }

    /// Returns the key for a token. A token without the id of a key fits if there is just one key for its algorithm.
    pub(super) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<&DecodingKey, NoKey> {
        let of_algorithm = self.keys.iter().filter(|key| key.algorithm == algorithm);
        let Some(id) = id else {
            let mut keys = of_algorithm;
            return keys.next().filter(|_| keys.next().is_none()).map(|key| &key.key).ok_or(NoKey::Unknown);
        };
        let mut with_id = of_algorithm.filter(|key| key.id.as_deref() == Some(id));
        let is_known = self.keys.iter().any(|key| key.id.as_deref() == Some(id));
        with_id.next().map(|key| &key.key).ok_or(if is_known { NoKey::OtherAlgorithm } else { NoKey::Unknown })
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| (&key.id, key.algorithm))).finish()
    }
}

// === impl Jwk ===

impl Jwk {
    fn into_signing_key(self) -> Option<SigningKey> {
        let Self { kty, kid, alg, purpose, key_ops, crv, n, e, x, y } = self;
        let verifies = purpose.is_none_or(|purpose| purpose == "sig")
            && key_ops.is_none_or(|operations| operations.iter().any(|operation| operation == "verify"));
        let (algorithm, key) = match (kty.as_str(), crv.as_deref()) {
            ("RSA", _) => (Algorithm::RS256, DecodingKey::from_rsa_components(&n?, &e?)),
            ("EC", Some("P-256")) => (Algorithm::ES256, DecodingKey::from_ec_components(&x?, &y?)),
            ("OKP", Some("Ed25519")) => (Algorithm::EdDSA, DecodingKey::from_ed_components(&x?)),
            _ => return None,
        };
        let is_for_it = alg.is_none_or(|alg| allowed_algorithm(&alg) == Some(algorithm));
        (verifies && is_for_it).then_some(SigningKey { id: kid, algorithm, key: key.ok()? })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::identity::test_tokens::Signer;

    #[test]
    fn only_public_keys_that_sign_are_used() {
        let of = |change: &dyn Fn(&mut Value)| {
            let mut key = Signer::es256("a").jwk();
            change(&mut key);
            KeySet::parse(&json!({ "keys": [key] }).to_string())
        };
        assert!(of(&|_| ()).is_ok());
        assert!(of(&|key| key["use"] = json!("sig")).is_ok());
        for (member, value) in [
            ("use", json!("enc")),
            ("key_ops", json!(["sign"])),
            ("alg", json!("ES384")),
            ("alg", json!("HS256")),
            ("crv", json!("P-384")),
            ("kty", json!("oct")),
            ("x", json!("not base64!")),
            ("x", json!(7)),
        ] {
            let error = of(&|key| key[member] = value.clone()).unwrap_err();
            assert!(error.contains("without a public key for RS256, ES256 or EdDSA"), "{member}: {error}");
        }
        for (text, needed) in
            [("<html>", "is no JWK set"), ("{}", "missing field `keys`"), (r#"{"keys":[]}"#, "without")]
        {
            assert!(KeySet::parse(text).unwrap_err().contains(needed), "{text}");
        }
        let symmetric =
            json!({ "keys": [{ "kty": "oct", "k": "c2VjcmV0", "alg": "HS256" }, Signer::ed25519("b").jwk()] });
        assert_eq!(KeySet::parse(&symmetric.to_string()).unwrap().keys.len(), 1);
    }

    #[test]
    fn a_token_names_its_key_or_there_is_only_one() {
        let keys =
            json!({ "keys": [Signer::es256("a").jwk(), Signer::ed25519("b").jwk(), Signer::ed25519("c").jwk()] });
        let set = KeySet::parse(&keys.to_string()).unwrap();
        let find = |id, algorithm| set.find(id, algorithm).map(drop);
        assert_eq!(find(Some("a"), Algorithm::ES256), Ok(()));
        assert_eq!(find(None, Algorithm::ES256), Ok(()));
        assert_eq!(find(None, Algorithm::EdDSA), Err(NoKey::Unknown), "there are two");
        assert_eq!(find(Some("a"), Algorithm::EdDSA), Err(NoKey::OtherAlgorithm));
        assert_eq!(find(Some("d"), Algorithm::ES256), Err(NoKey::Unknown));
    }
}
