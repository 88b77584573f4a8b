//! Tokens that are right and wrong, and keys of the issuer that change.

use serde_json::{Value, json};

use crate::{
    edge::{Edge, Files},
    issuer::{FLAGS, Issuer, Signer, seconds_from_now, set},
};

const RIGHT: Result<(), String> = Ok(());

fn unauthenticated(reason: &str) -> Result<(), String> {
    Err(format!("Unauthenticated {reason}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_token_is_refused_with_the_kind_of_problem() {
    let (files, signer) = (Files::new(), Signer::new("a"));
    let keys = files.write("jwks.json", &set(&[&signer]));
    let mut edge = Edge::start(&[&FLAGS[..], &["--jwt-jwks", &keys]].concat()).await;
    assert_eq!(edge.try_with(&signer.right(1)).await, RIGHT);
    for (claim, value, reason) in [
        ("exp", seconds_from_now(-60), "TOKEN_EXPIRED"),
        ("nbf", seconds_from_now(60), "TOKEN_NOT_YET_VALID"),
        ("aud", json!("other"), "WRONG_AUDIENCE"),
        ("iss", json!("https://other.example"), "WRONG_ISSUER"),
        ("sub", Value::Null, "MISSING_CLAIM"),
    ] {
        assert_eq!(edge.try_with(&signer.token(claim, &value)).await, unauthenticated(reason), "{claim}");
    }
    for algorithm in ["none", "HS256"] {
        assert_eq!(edge.try_with(&signer.forged(algorithm)).await, unauthenticated("ALGORITHM_NOT_ALLOWED"));
    }
    assert_eq!(edge.try_with(&Signer::new("a").right(1)).await, unauthenticated("WRONG_SIGNATURE"));
    let other = Signer::new("b");
    assert_eq!(edge.try_with(&other.right(1)).await, unauthenticated("UNKNOWN_SIGNING_KEY"));
    assert_eq!(edge.try_with("fo_x").await, unauthenticated("API_KEYS_NOT_ACCEPTED"));
    assert_eq!(edge.try_with("x.y.z").await, unauthenticated("MALFORMED_TOKEN"));

    // The issuer has another key now: what the old one has signed is not remembered.
    files.write("jwks.json", &set(&[&other]));
    edge.changed().await;
    assert_eq!(edge.try_with(&other.right(1)).await, RIGHT);
    assert_eq!(edge.try_with(&signer.right(1)).await, unauthenticated("UNKNOWN_SIGNING_KEY"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_key_of_the_issuer_is_fetched_when_a_token_has_it() {
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let issuer = Issuer::start(set(&[&old])).await;
    let edge = Edge::start(&[&FLAGS[..], &["--jwt-jwks", &issuer.url, "--jwt-jwks-refresh", "1h"]].concat()).await;
    let in_force = |line: &Value| line["message"] == "the issuer's keys are in force";
    edge.service.log.wait_for("the keys", in_force).await;
    assert_eq!(edge.try_with(&old.right(1)).await, RIGHT);
    issuer.rotate(set(&[&old, &new]));
    assert_eq!(edge.try_with(&new.right(1)).await, unauthenticated("UNKNOWN_SIGNING_KEY"));
    edge.service.log.wait_for_number(2, "the new keys", in_force).await;
    assert_eq!(edge.try_with(&new.right(1)).await, RIGHT);
    assert_eq!(edge.try_with(&old.right(2)).await, RIGHT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_stay_while_the_issuer_is_down() {
    let signer = Signer::new("a");
    let issuer = Issuer::start(set(&[&signer])).await;
    let log = ["--log", "info,service_kit=debug", "--jwt-jwks-refresh", "100ms"];
    let edge = Edge::start(&[&FLAGS[..], &["--jwt-jwks", &issuer.url], &log].concat()).await;
    edge.service.log.wait_for("the keys", |line| line["message"] == "the issuer's keys are in force").await;
    drop(issuer);
    let failed = |line: &Value| line["message"] == "the issuer's keys cannot be fetched";
    edge.service.log.wait_for_number(2, "two more failures", failed).await;
    assert_eq!(edge.try_with(&signer.right(1)).await, RIGHT, "never seen before");
    let warnings = edge.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(warnings[0]["has_keys"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_come_over_tls_from_an_issuer_whose_certificate_is_trusted() {
    let (files, signer) = (Files::new(), Signer::new("a"));
    let (issuer, certificate) = Issuer::start_tls(set(&[&signer])).await;
    let trusted = files.write("ca.pem", &certificate);
    let other = files.write("other.pem", &Issuer::start_tls(String::new()).await.1);
    let flags = [&FLAGS[..], &["--jwt-jwks", &issuer.url]].concat();
    let edge = Edge::start_with(&flags, &[("SSL_CERT_FILE", &trusted)]).await;
    edge.service.log.wait_for("the keys", |line| line["message"] == "the issuer's keys are in force").await;
    assert_eq!(edge.try_with(&signer.right(1)).await, RIGHT);
    let edge = Edge::start_with(&flags, &[("SSL_CERT_FILE", &other)]).await;
    let failed = |line: &Value| line["level"] == "WARN" && line["url"] == issuer.url;
    let warning = edge.service.log.wait_for("a warning", failed).await;
    assert!(warning["error"].as_str().unwrap().starts_with("TLS failed: invalid peer certificate"), "{warning}");
    assert!(edge.try_with(&signer.right(1)).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_starts_while_the_issuer_is_down() {
    let signer = Signer::new("a");
    let issuer = Issuer::start("<html>no keys yet</html>".to_owned()).await;
    let edge = Edge::start(&[&FLAGS[..], &["--jwt-jwks", &issuer.url, "--jwt-jwks-refresh", "100ms"]].concat()).await;
    let unavailable = Err("Unavailable SIGNING_KEYS_UNAVAILABLE".to_owned());
    assert_eq!(edge.try_with(&signer.right(1)).await, unavailable);
    issuer.rotate(set(&[&signer]));
    edge.service.log.wait_for("the keys", |line| line["message"] == "the issuer's keys are in force").await;
    assert_eq!(edge.try_with(&signer.right(1)).await, RIGHT);
}
