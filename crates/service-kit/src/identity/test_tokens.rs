//! Issuers of tokens for tests.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::{
    encoding::AsDer as _,
    rsa::KeySize,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

/// A key that signs tokens.
pub(super) struct Signer {
    id: String,
    algorithm: Algorithm,
    key: EncodingKey,
    jwk: Value,
}

/// Returns the seconds of the Unix epoch.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Returns the claims of a token that is right.
pub(super) fn claims() -> Value {
    json!({ "iss": "https://issuer.example", "aud": "fanout", "sub": "ada", "exp": now() + 300 })
}

fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

// === impl Signer ===

impl Signer {
    pub(super) fn es256(id: &str) -> Self {
        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &aws_lc_rs::rand::SystemRandom::new());
        let pkcs8 = pkcs8.unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref()).unwrap();
        // The form of the point, then its two coordinates.
        let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
        let jwk = json!({ "kty": "EC", "crv": "P-256", "kid": id, "x": base64(x), "y": base64(y) });
        Self { id: id.to_owned(), algorithm: Algorithm::ES256, key: EncodingKey::from_ec_der(pkcs8.as_ref()), jwk }
    }

    pub(super) fn ed25519(id: &str) -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "kid": id, "x": base64(pair.public_key()) });
        Self { id: id.to_owned(), algorithm: Algorithm::EdDSA, key: EncodingKey::from_ed_der(pkcs8.as_ref()), jwk }
    }

    pub(super) fn rs256(id: &str) -> Self {
        let pair = aws_lc_rs::rsa::KeyPair::generate(KeySize::Rsa2048).unwrap();
        let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let pair = RsaKeyPair::from_pkcs8(der.as_ref()).unwrap();
        let public = pair.public_key();
        let (n, e) = (public.modulus().big_endian_without_leading_zero().to_vec(), public.exponent());
        let e = e.big_endian_without_leading_zero().to_vec();
        // The key itself follows 26 bytes that say what it is.
        let key = EncodingKey::from_rsa_der(&der.as_ref()[26..]);
        let jwk = json!({ "kty": "RSA", "alg": "RS256", "use": "sig", "kid": id, "n": base64(n), "e": base64(e) });
        Self { id: id.to_owned(), algorithm: Algorithm::RS256, key, jwk }
    }

    /// Returns the public key.
    pub(super) fn jwk(&self) -> Value {
        self.jwk.clone()
    }

    /// Returns a set of this public key alone.
    pub(super) fn jwks(&self) -> String {
        json!({ "keys": [self.jwk] }).to_string()
    }

    pub(super) fn header(&self) -> Header {
        let mut header = Header::new(self.algorithm);
        header.kid = Some(self.id.clone());
        header
    }

    pub(super) fn sign(&self, claims: &Value) -> String {
        self.sign_with(&self.header(), claims)
    }

    pub(super) fn sign_with(&self, header: &Header, claims: &Value) -> String {
        encode(header, claims, &self.key).unwrap()
    }
}

/// Returns a token with this header and this signature.
pub(super) fn unsigned(header: &Value, claims: &Value, signature: &[u8]) -> String {
    format!("{}.{}.{}", base64(header.to_string()), base64(claims.to_string()), base64(signature))
}
