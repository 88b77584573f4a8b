//! Checks tokens: JWTs (RFC 7519) that an issuer has signed.

use std::{
    fmt,
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, Validation, errors::ErrorKind};
use rpc_layers::{
    identity::{Denial, Identity, Mechanism},
    peer::Peer,
};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::{Notify, watch};

use super::{
    attempts::Attempts,
    key_set::{KeySet, NoKey, allowed_algorithm},
    token_cache::{self, CachedToken},
};

/// By how many seconds the clocks of issuer and server may differ.
const LEEWAY: u64 = 30;

/// The longest subject, in bytes: it is the name of an identity.
const MAX_SUBJECT: usize = 256;

const UNKNOWN_KEY: Denial = Denial::unauthenticated("UNKNOWN_SIGNING_KEY", "the token was signed with an unknown key");
const ALGORITHM: Denial = Denial::unauthenticated(
    "ALGORITHM_NOT_ALLOWED",
    "the token was signed with another algorithm than RS256, ES256 or EdDSA, or than its key is for",
);
const MALFORMED: Denial = Denial::unauthenticated("MALFORMED_TOKEN", "the token is not a JWT");
const SIGNATURE: Denial = Denial::unauthenticated("WRONG_SIGNATURE", "the token's signature is wrong");
const EXPIRED: Denial = Denial::unauthenticated("TOKEN_EXPIRED", "the token has expired");
const NOT_YET: Denial = Denial::unauthenticated("TOKEN_NOT_YET_VALID", "the token is not valid yet");
const AUDIENCE: Denial = Denial::unauthenticated("WRONG_AUDIENCE", "the token is for another audience");
const ISSUER: Denial = Denial::unauthenticated("WRONG_ISSUER", "the token is from another issuer");
const CLAIMS: Denial =
    Denial::unauthenticated("MISSING_CLAIM", "the token lacks one of the claims iss, aud, sub and exp");
const SUBJECT: Denial =
    Denial::unauthenticated("UNUSABLE_SUBJECT", "the token's subject is empty, too long or has control characters");
const NO_KEYS: Denial = Denial::unavailable(
    "SIGNING_KEYS_UNAVAILABLE",
    "tokens cannot be checked now: the issuer's keys are not there yet",
);
const TOO_MANY: Denial =
    Denial::too_many("TOO_MANY_WRONG_TOKENS", "too many wrong tokens came from this address: no other is checked now");

/// Checks the tokens of one issuer for one audience.
pub(super) struct Tokens {
    /// One for each algorithm that is allowed.
    validations: [Validation; 3],
    /// `None` until they were fetched for the first time.
    keys: watch::Receiver<Arc<Option<KeySet>>>,
    /// Asks for the keys again.
    refresh: Arc<Notify>,
    wrong: Attempts,
}

/// The part of a token's header that counts here. Other ways to name a key (`jwk`, `jku`, `x5c`) are of no importance:
/// who makes a token does not choose the key.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: f64,
}

// === impl Tokens ===

impl Tokens {
    pub(super) fn new(
        issuer: &str,
        audience: &str,
        keys: watch::Receiver<Arc<Option<KeySet>>>,
        refresh: Arc<Notify>,
    ) -> Self {
        let validations = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA].map(|algorithm| {
            let mut validation = Validation::new(algorithm);
            validation.set_issuer(&[issuer]);
            validation.set_audience(&[audience]);
            validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
            validation.validate_nbf = true;
            validation.leeway = LEEWAY;
            validation
        });
        Self { validations, keys, refresh, wrong: Attempts::new() }
    }

    /// Returns whose token it is.
    pub(super) fn check(&self, token: &str, peer: Option<&Peer>) -> Result<Identity, Denial> {
        let keys = Arc::clone(&self.keys.borrow());
        let keys = keys.as_ref().as_ref().ok_or(NO_KEYS)?;
        let hash = token_cache::hash(token);
        if let Some(CachedToken { identity, expires }) = keys.verified.get(&hash) {
            return if expires.saturating_add(LEEWAY) < now() { Err(EXPIRED) } else { Ok(identity) };
        }
        let (header, algorithm) = header(token)?;
        let key = keys.find(header.kid.as_deref(), algorithm).map_err(|error| match error {
            NoKey::OtherAlgorithm => ALGORITHM,
            NoKey::Unknown => {
                self.refresh.notify_one();
                UNKNOWN_KEY
            }
        })?;
        let address = peer.map(|peer| peer.address.ip());
        if !self.wrong.may_check(address, Instant::now()) {
            return Err(TOO_MANY);
        }
        let validation = self.validations.iter().find(|validation| validation.algorithms.contains(&algorithm));
        let claims = jsonwebtoken::decode::<Claims>(token, key, validation.ok_or(ALGORITHM)?)
            .map_err(|error| denial(error.kind()))
            .and_then(|data| if is_usable(&data.claims.sub) { Ok(data.claims) } else { Err(SUBJECT) })
            .inspect_err(|_| self.wrong.add(address, Instant::now()))?;
        let identity = Identity::new(Mechanism::Token, claims.sub);
        // Whole seconds above 0: it has just been compared with the time.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        let expires = claims.exp as u64;
        keys.verified.add(hash, CachedToken { identity: identity.clone(), expires });
        Ok(identity)
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

/// Reads the header of a token, whose algorithm has to be allowed.
fn header(token: &str) -> Result<(Header, Algorithm), Denial> {
    let header = token.split('.').next().unwrap_or_default();
    let header = URL_SAFE_NO_PAD.decode(header).map_err(|_| MALFORMED)?;
    let header: Header = serde_json::from_slice(&header).map_err(|_| MALFORMED)?;
    // RFC 7515: who does not understand an extension that is critical must not accept the token.
    if header.crit.is_some() {
        return Err(MALFORMED);
    }
    let algorithm = allowed_algorithm(&header.alg).ok_or(ALGORITHM)?;
    Ok((header, algorithm))
}

/// Returns what a caller is told.
fn denial(error: &ErrorKind) -> Denial {
    match error {
        ErrorKind::ExpiredSignature => EXPIRED,
        ErrorKind::ImmatureSignature => NOT_YET,
        ErrorKind::InvalidAudience => AUDIENCE,
        ErrorKind::InvalidIssuer => ISSUER,
        ErrorKind::MissingRequiredClaim(_) | ErrorKind::InvalidClaimFormat(_) => CLAIMS,
        ErrorKind::InvalidAlgorithm | ErrorKind::UnsupportedAlgorithm => ALGORITHM,
        ErrorKind::InvalidSignature => SIGNATURE,
        // The claims of `Claims` are missing or of another type. `ErrorKind` may grow.
        ErrorKind::Json(error) if error.is_data() => CLAIMS,
        _ => MALFORMED,
    }
}

fn is_usable(subject: &str) -> bool {
    (1..=MAX_SUBJECT).contains(&subject.len()) && !subject.chars().any(char::is_control)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::identity::test_tokens::{Signer, claims, now, unsigned};

    fn tokens(keys: Option<&str>) -> (Tokens, watch::Sender<Arc<Option<KeySet>>>) {
        let (sender, keys) = watch::channel(Arc::new(keys.map(|keys| KeySet::parse(keys).unwrap())));
        (Tokens::new("https://issuer.example", "fanout", keys, Arc::default()), sender)
    }

    /// Returns the identity or the reason.
    fn check(tokens: &Tokens, token: &str) -> Result<String, &'static str> {
        tokens.check(token, None).map(|identity| identity.to_string()).map_err(|denial| denial.reason())
    }

    fn with(member: &str, value: Value) -> Value {
        let mut claims = claims();
        claims[member] = value;
        claims
    }

    #[test]
    fn a_right_token_is_its_subject() {
        for signer in [Signer::rs256("a"), Signer::es256("a"), Signer::ed25519("a")] {
            let (tokens, _keys) = tokens(Some(&signer.jwks()));
            let token = signer.sign(&claims());
            assert_eq!(check(&tokens, &token).as_deref(), Ok("token:ada"));
            assert_eq!(check(&tokens, &token).as_deref(), Ok("token:ada"), "from the cache");
            for right in
                [with("aud", json!(["other", "fanout"])), with("nbf", json!(now())), with("nbf", json!(now() + 20))]
            {
                assert_eq!(check(&tokens, &signer.sign(&right)).as_deref(), Ok("token:ada"), "{right}");
            }
            let (last, rest) = token.split_at(token.len() - 8);
            assert_eq!(check(&tokens, &format!("{last}AAAAAAAA")), Err("WRONG_SIGNATURE"), "{rest}");
        }
    }

    #[test]
    fn a_wrong_claim_is_told_apart() {
        let signer = Signer::ed25519("a");
        let (tokens, _keys) = tokens(Some(&signer.jwks()));
        for (member, value, reason) in [
            ("exp", json!(now() - 60), "TOKEN_EXPIRED"),
            ("exp", json!("soon"), "MISSING_CLAIM"),
            ("exp", Value::Null, "MISSING_CLAIM"),
            ("nbf", json!(now() + 60), "TOKEN_NOT_YET_VALID"),
            ("aud", json!("other"), "WRONG_AUDIENCE"),
            ("aud", json!([]), "WRONG_AUDIENCE"),
            ("aud", Value::Null, "MISSING_CLAIM"),
            ("iss", json!("https://other.example"), "WRONG_ISSUER"),
            ("iss", Value::Null, "MISSING_CLAIM"),
            ("sub", Value::Null, "MISSING_CLAIM"),
            ("sub", json!(""), "UNUSABLE_SUBJECT"),
            ("sub", json!("a\nb"), "UNUSABLE_SUBJECT"),
            ("sub", json!("a".repeat(257)), "UNUSABLE_SUBJECT"),
        ] {
            let token = signer.sign(&with(member, value.clone()));
            assert_eq!(check(&tokens, &token), Err(reason), "{member}: {value}");
        }
        let barely = signer.sign(&with("exp", json!(now() - 20)));
        assert_eq!(check(&tokens, &barely).as_deref(), Ok("token:ada"), "clocks differ");
    }

    #[test]
    fn who_makes_a_token_chooses_neither_algorithm_nor_key() {
        let signer = Signer::rs256("a");
        let (tokens, _keys) = tokens(Some(&signer.jwks()));
        let jwk = signer.jwk();
        let public = URL_SAFE_NO_PAD.decode(jwk["n"].as_str().unwrap()).unwrap();
        let hmac = jsonwebtoken::EncodingKey::from_secret(&public);
        let mut header = jsonwebtoken::Header::new(Algorithm::HS256);
        header.kid = Some("a".to_owned());
        let with_public_key = jsonwebtoken::encode(&header, &claims(), &hmac).unwrap();
        assert_eq!(check(&tokens, &with_public_key), Err("ALGORITHM_NOT_ALLOWED"));
        for alg in ["none", "None", "HS256", "RS384", "PS256", "ES384", ""] {
            for signature in [&b""[..], b"x"] {
                let token = unsigned(&json!({ "alg": alg, "kid": "a" }), &claims(), signature);
                assert_eq!(check(&tokens, &token), Err("ALGORITHM_NOT_ALLOWED"), "{alg}");
            }
        }
        let token = unsigned(&json!({ "alg": "ES256", "kid": "a" }), &claims(), &[0; 64]);
        assert_eq!(check(&tokens, &token), Err("ALGORITHM_NOT_ALLOWED"), "the key is for RS256");
        let other = Signer::rs256("b");
        let mut header = other.header();
        header.jwk = Some(serde_json::from_value(other.jwk()).unwrap());
        assert_eq!(check(&tokens, &other.sign_with(&header, &claims())), Err("UNKNOWN_SIGNING_KEY"));
        header.kid = Some("a".to_owned());
        assert_eq!(check(&tokens, &other.sign_with(&header, &claims())), Err("WRONG_SIGNATURE"));
        let mut critical = signer.header();
        critical.crit = Some(vec!["x".to_owned()]);
        assert_eq!(check(&tokens, &signer.sign_with(&critical, &claims())), Err("MALFORMED_TOKEN"));
    }

    #[test]
    fn what_is_no_token_is_malformed() {
        let (tokens, _keys) = tokens(Some(&Signer::es256("a").jwks()));
        let header = json!({ "alg": "ES256", "kid": "a" });
        let good = unsigned(&header, &claims(), &[0; 64]);
        let parts: Vec<_> = good.split('.').collect();
        for token in ["", ".", "..", "a.b.c", parts[0], &format!("{}.{}", parts[0], parts[1])] {
            assert_eq!(check(&tokens, token), Err("MALFORMED_TOKEN"), "{token:?}");
        }
        assert_eq!(check(&tokens, &format!("{good}.x")), Err("MALFORMED_TOKEN"));
    }

    #[tokio::test(start_paused = true)]
    async fn an_unknown_key_asks_for_the_keys_again_and_new_keys_forget_old_tokens() {
        let (old, new) = (Signer::es256("old"), Signer::es256("new"));
        let (tokens, keys) = tokens(Some(&old.jwks()));
        let token = old.sign(&claims());
        assert!(check(&tokens, &token).is_ok());
        let asked = async |tokens: &Tokens| {
            tokio::time::timeout(Duration::from_secs(1), tokens.refresh.notified()).await.is_ok()
        };
        assert!(!asked(&tokens).await);
        assert_eq!(check(&tokens, &new.sign(&claims())), Err("UNKNOWN_SIGNING_KEY"));
        assert!(asked(&tokens).await);
        keys.send_replace(Arc::new(Some(KeySet::parse(&new.jwks()).unwrap())));
        assert!(check(&tokens, &new.sign(&claims())).is_ok());
        assert_eq!(check(&tokens, &token), Err("UNKNOWN_SIGNING_KEY"), "not from the cache");
    }

    #[test]
    fn without_keys_a_token_may_be_right() {
        let (tokens, _keys) = tokens(None);
        let denial = tokens.check(&Signer::es256("a").sign(&claims()), None).unwrap_err();
        assert_eq!((denial.code(), denial.reason()), (tonic::Code::Unavailable, "SIGNING_KEYS_UNAVAILABLE"));
    }

    #[test]
    fn a_flood_of_wrong_tokens_is_not_checked_and_right_ones_of_the_cache_are_served() {
        let signer = Signer::ed25519("a");
        let (tokens, _keys) = tokens(Some(&signer.jwks()));
        let right = signer.sign(&claims());
        assert!(check(&tokens, &right).is_ok());
        let wrong = signer.sign(&with("aud", json!("other")));
        let reasons: Vec<_> = (0..1000).map(|_| check(&tokens, &wrong).unwrap_err()).collect();
        assert_eq!(reasons[0], "WRONG_AUDIENCE");
        // The flood may see several seconds.
        assert!(reasons.contains(&"TOO_MANY_WRONG_TOKENS"));
        assert!(check(&tokens, &right).is_ok());
    }

    /// `cargo test -p service-kit --lib -- --ignored --nocapture the_cost`
    #[test]
    #[ignore = "a measurement"]
    fn the_cost_of_a_check() {
        for signer in [Signer::rs256("a"), Signer::es256("a"), Signer::ed25519("a")] {
            let (tokens, _keys) = tokens(Some(&signer.jwks()));
            let different: Vec<_> = (0..1000).map(|number| signer.sign(&with("jti", json!(number)))).collect();
            for round in ["checked", "cached"] {
                let begun = Instant::now();
                assert!(different.iter().all(|token| check(&tokens, token).is_ok()));
                println!("{:?} {round}: {:?}", signer.header().alg, begun.elapsed() / 1000);
            }
        }
    }
}
