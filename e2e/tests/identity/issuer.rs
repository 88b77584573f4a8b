//! Signs tokens, and serves its public keys.

use std::{
    sync::{Arc, Mutex},
    time::{SystemTime, UNIX_EPOCH},
};

use ::aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rustls::{ServerConfig, crypto::aws_lc_rs, pki_types::PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

/// The flags of a gateway that takes the tokens of this issuer, but for where its keys are.
pub(crate) const FLAGS: [&str; 4] = ["--jwt-issuer", "https://issuer.example", "--jwt-audience", "fanout"];

/// A key that signs tokens with ES256.
pub(crate) struct Signer {
    id: &'static str,
    key: EncodingKey,
    pub(crate) jwk: Value,
}

/// Serves a JWK set over HTTP until it is dropped.
pub(crate) struct Issuer {
    pub(crate) url: String,
    keys: Arc<Mutex<String>>,
    serving: JoinHandle<()>,
}

/// Returns a time so many seconds from now.
pub(crate) fn seconds_from_now(seconds: i64) -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    json!(now.checked_add_signed(seconds).unwrap())
}

/// Returns the claims of a right token, with another value for one of them.
pub(crate) fn claims_with(claim: &str, value: &Value) -> Value {
    let mut claims = json!({
        "iss": "https://issuer.example", "aud": "fanout", "sub": "ada", "exp": seconds_from_now(300)
    });
    claims[claim] = value.clone();
    claims
}

/// Returns a JWK set.
pub(crate) fn set(keys: &[&Signer]) -> String {
    json!({ "keys": keys.iter().map(|key| key.jwk.clone()).collect::<Vec<_>>() }).to_string()
}

// === impl Signer ===

impl Signer {
    pub(crate) fn new(id: &'static str) -> Self {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref()).unwrap();
        // The form of the point, then its two coordinates.
        let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
        let [x, y] = [x, y].map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
        let jwk = json!({ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": id, "x": x, "y": y });
        Self { id, key: EncodingKey::from_ec_der(pkcs8.as_ref()), jwk }
    }

    /// Returns a right token but for this claim.
    pub(crate) fn token(&self, claim: &str, value: &Value) -> String {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.id.to_owned());
        encode(&header, &claims_with(claim, value), &self.key).unwrap()
    }

    /// Returns a right token. Each number is another one.
    pub(crate) fn right(&self, number: u32) -> String {
        self.token("jti", &json!(number))
    }

    /// Returns a token with another algorithm, whose secret, if it needs one, is the public key.
    pub(crate) fn forged(&self, algorithm: &str) -> String {
        if algorithm == "HS256" {
            let mut header = Header::new(Algorithm::HS256);
            header.kid = Some(self.id.to_owned());
            let public = URL_SAFE_NO_PAD.decode(self.jwk["x"].as_str().unwrap()).unwrap();
            return encode(&header, &claims_with("jti", &json!(1)), &EncodingKey::from_secret(&public)).unwrap();
        }
        let part = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let header = json!({ "alg": algorithm, "typ": "JWT", "kid": self.id });
        format!("{}.{}.", part(&header), part(&claims_with("jti", &json!(1))))
    }
}

// === impl Issuer ===

impl Issuer {
    pub(crate) async fn start(keys: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
        let keys = Arc::new(Mutex::new(keys));
        let served = Arc::clone(&keys);
        let serving = tokio::spawn(async move {
            loop {
                answer(listener.accept().await.unwrap().0, &served).await;
            }
        });
        Self { url, keys, serving }
    }

    /// Starts one with TLS. Returns its certificate too, in PEM.
    pub(crate) async fn start_tls(keys: String) -> (Self, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.into())
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}/jwks.json", listener.local_addr().unwrap().port());
        let keys = Arc::new(Mutex::new(keys));
        let served = Arc::clone(&keys);
        let serving = tokio::spawn(async move {
            loop {
                // Fails if the client does not trust the certificate.
                if let Ok(stream) = acceptor.accept(listener.accept().await.unwrap().0).await {
                    answer(stream, &served).await;
                }
            }
        });
        (Self { url, keys, serving }, made.cert.pem())
    }

    /// Serves other keys from now on.
    pub(crate) fn rotate(&self, keys: String) {
        *self.keys.lock().unwrap() = keys;
    }
}

/// Answers a request with the keys.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, keys: &Mutex<String>) {
    let mut request = [0; 4096];
    let _ = stream.read(&mut request).await;
    let keys = keys.lock().unwrap().clone();
    let reply = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{keys}", keys.len());
    let _ = stream.write_all(reply.as_bytes()).await;
    let _ = stream.shutdown().await;
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
