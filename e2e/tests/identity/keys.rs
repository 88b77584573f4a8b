//! API keys, and `fanout` as a caller that has one.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command};

use e2e::{binary, connect};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::edge::{Edge, Files, outcome};

fn unauthenticated(reason: &str) -> Result<(), String> {
    Err(format!("Unauthenticated {reason}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_lets_its_owner_in_until_it_is_revoked() {
    let files = Files::new();
    let (reports, web) = (files.new_key("reports", "keys"), files.new_key("web", "keys"));
    assert_eq!(fs::metadata(files.path("keys")).unwrap().permissions().mode() & 0o777, 0o600);
    let mut edge = Edge::start(&["--api-keys", files.path("keys").to_str().unwrap()]).await;
    assert_eq!(outcome(&edge.call(&[]).await), unauthenticated("NO_CREDENTIALS"));
    assert_eq!(outcome(&edge.call(&[("x-api-key", &reports)]).await), unauthenticated("NO_CREDENTIALS"));
    assert_eq!(outcome(&edge.call(&[("authorization", &reports)]).await), unauthenticated("MALFORMED_CREDENTIALS"));
    for wrong in ["fo_", "fo_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", &reports[..45], &format!("{reports}A")] {
        assert_eq!(edge.try_with(wrong).await, unauthenticated("UNKNOWN_API_KEY"), "{wrong}");
    }
    assert_eq!(edge.try_with("no.key").await, unauthenticated("TOKENS_NOT_ACCEPTED"));
    assert_eq!((edge.try_with(&reports).await, edge.try_with(&web).await), (Ok(()), Ok(())));

    assert!(files.key(&["revoke", "reports"], "keys").status.success());
    edge.changed().await;
    assert_eq!(edge.try_with(&reports).await, unauthenticated("UNKNOWN_API_KEY"));
    assert_eq!(edge.try_with(&web).await, Ok(()));

    let second = files.new_key("web", "keys");
    edge.changed().await;
    assert_eq!((edge.try_with(&web).await, edge.try_with(&second).await), (Ok(()), Ok(())), "two keys, one name");
    assert_eq!(edge.warnings(), Vec::<serde_json::Value>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_file_changes_nothing_and_is_one_warning() {
    let files = Files::new();
    let key = files.new_key("reports", "keys");
    let good = fs::read_to_string(files.path("keys")).unwrap();
    let mut edge = Edge::start(&["--api-keys", files.path("keys").to_str().unwrap()]).await;
    files.write("keys", "no file of keys\n");
    let is_warning = |line: &serde_json::Value| line["level"] == "WARN" && line["error"].is_string();
    let warning = edge.service.log.wait_for("a warning of the file", is_warning).await;
    assert!(warning["error"].as_str().unwrap().contains("keys: line 1: expected a name and sha256:"), "{warning}");
    assert_eq!(edge.try_with(&key).await, Ok(()));
    // SIGHUP has it read again, and neither ends the process nor warns again.
    edge.service.hang_up();
    files.write("keys", &format!("{good}# and a comment\n"));
    edge.changed().await;
    assert_eq!(edge.try_with(&key).await, Ok(()));
    assert_eq!(edge.warnings().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_is_open_and_reflection_is_not() {
    let files = Files::new();
    let key = files.new_key("reports", "keys");
    let edge = Edge::start(&["--reflection", "--api-keys", files.path("keys").to_str().unwrap()]).await;
    let mut health = HealthClient::new(connect(&edge.service.url).await);
    health.check(HealthCheckRequest::default()).await.unwrap();
    for version in ["v1", "v1alpha"] {
        let method = format!("grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
        let status = async |headers: &[(&str, &str)]| {
            e2e::raw_call::unary_status(&edge.service.url, &method, headers, &()).await
        };
        assert_eq!(status(&[]).await, "16", "{version}");
        assert_ne!(status(&[("authorization", &format!("Bearer {key}"))]).await, "16", "{version}");
    }
}

#[test]
fn a_file_of_keys_is_not_damaged() {
    let files = Files::new();
    let listed = |file: &str| String::from_utf8(files.key(&["list"], file).stdout).unwrap();
    // Without an end of line.
    let (_first, _second) = (files.new_key("a", "keys"), files.new_key("b", "keys"));
    let text = fs::read_to_string(files.path("keys")).unwrap();
    files.write("keys", text.trim_end());
    let third = files.new_key("a", "keys");
    let names: Vec<_> = listed("keys").lines().map(|line| line.rsplit_once(' ').unwrap().1.to_owned()).collect();
    assert_eq!(names, ["a", "b", "a"]);
    assert!(!fs::read_to_string(files.path("keys")).unwrap().contains(&third));
    // One of two by its hash.
    let fingerprint = listed("keys").lines().next().unwrap().split(' ').next().unwrap().to_owned();
    assert!(files.key(&["revoke", &fingerprint], "keys").status.success());
    assert_eq!(listed("keys").lines().count(), 2);
    for (args, needed) in
        [(&["revoke", "nobody"][..], "no key in"), (&["new", "a b"], "expected a name of 1 to 64 characters")]
    {
        let refused = files.key(args, "keys");
        let error = String::from_utf8(refused.stderr).unwrap();
        assert!(refused.status.code() == Some(64) && error.contains(needed), "{error}");
    }
    files.write("other", "this is no file of keys\n");
    let refused = files.key(&["new", "a"], "other");
    let error = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.status.code() == Some(64) && error.contains("other: line 1:"), "{error}");
    assert!(refused.stdout.is_empty(), "no key is shown that nobody knows");
    assert_eq!(fs::read_to_string(files.path("other")).unwrap(), "this is no file of keys\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fanout_sends_a_key_and_never_shows_it() {
    let files = Files::new();
    let key = files.new_key("me", "keys");
    let key_file = files.write("my key", &format!("{key}\n"));
    let edge = Edge::start(&["--api-keys", files.path("keys").to_str().unwrap()]).await;
    let fanout = |args: &[&str], variable: &str| {
        let mut command = Command::new(binary::fanout());
        let gateway = if args.contains(&"--gateway") { &[][..] } else { &["--gateway", &edge.service.url] };
        command.args(args).args(gateway).env("FANOUT_API_KEY", variable);
        let output = command.output().unwrap();
        let text = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
        assert!(!text.contains(&key), "{text}");
        (output.status.code(), text)
    };
    let (code, text) = fanout(&["call", "profile", "ada"], "");
    assert!(code == Some(64) && text.contains("the gateway rejects the request: there are no credentials"), "{text}");
    for (command, code) in [("compare", 64), ("load", 64)] {
        let (ended, text) = fanout(&[command], "fo_wrong");
        assert!(ended == Some(code) && text.contains("rejects the request: the API key is unknown"), "{text}");
    }
    // The gateway has no backends: a request that is let in fails later.
    let call = ["call", "profile", "ada", "--timeout", "1s"];
    let (code, text) = fanout(&call, &key);
    let header = "-H \"authorization: Bearer $FANOUT_API_KEY\"";
    assert!(code == Some(1) && text.matches(header).count() == 2, "{text}");
    let (code, text) = fanout(&[&call[..], &["--api-key-file", &key_file]].concat(), "fo_wrong");
    assert!(code == Some(1) && text.contains("authorization: Bearer $(cat '"), "{text}");
    assert!(!text.contains("warning"), "this machine: {text}");
    // To this machine too, but not by an address of it.
    let (code, text) = fanout(&[&call[..], &["--gateway", "http://0.0.0.0:1"]].concat(), &key);
    assert!(code != Some(0) && text.contains("warning: the API key is sent to http://0.0.0.0:1 without TLS"), "{text}");
    let (code, text) = fanout(&call, "two words");
    assert!(code == Some(64) && text.contains("invalid value of FANOUT_API_KEY: expected an API key"), "{text}");
    assert!(!text.contains("two words"), "{text}");
}
