//! Which identity may call which method.

use std::process::Command;

use e2e::binary;

use crate::edge::{Edge, Files, outcome};

const GET_PROFILE: &str = "fanout.gateway.v1.GatewayService/GetProfile";
const STREAM_USERS: &str = "fanout.gateway.v1.GatewayService/StreamUsers";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_identity_calls_what_the_policy_allows_and_the_policy_changes() {
    let files = Files::new();
    let key = format!("Bearer {}", files.new_key("reports", "keys"));
    let key = [("authorization", key.as_str())];
    let policy = files.write("policy", &format!("key:reports {GET_PROFILE}\nanonymous {STREAM_USERS}\n"));
    let mut edge = Edge::start(&["--api-keys", files.path("keys").to_str().unwrap(), "--policy", &policy]).await;
    assert_eq!(outcome(&edge.call(&key).await), Ok(()));
    let denied = edge.stream(&key).await;
    assert_eq!(outcome(&denied), Err("PermissionDenied METHOD_NOT_ALLOWED".to_owned()));
    assert_eq!(denied.message(), format!("key:reports may not call {STREAM_USERS}"));
    assert_eq!(outcome(&edge.stream(&[]).await), Ok(()), "anonymous may");
    assert_eq!(outcome(&edge.call(&[]).await), Err("Unauthenticated NO_CREDENTIALS".to_owned()));

    files.write("policy", "key:* *\n");
    edge.changed().await;
    assert_eq!(outcome(&edge.stream(&key).await), Ok(()));
    assert_eq!(outcome(&edge.stream(&[]).await), Err("Unauthenticated NO_CREDENTIALS".to_owned()));
}

#[test]
fn what_cannot_be_used_is_one_line_and_exit_code_64() {
    let files = Files::new();
    files.new_key("reports", "keys");
    let keys = files.path("keys").to_str().unwrap().to_owned();
    let missing = files.path("missing").to_str().unwrap().to_owned();
    let method = files.write("method", "\nkey:reports fanout.gateway.v1.GatewayService/GetProfil\n");
    let empty = files.write("jwks.json", "{\"keys\":[]}");
    let jwt = ["--jwt-issuer", "x", "--jwt-audience", "y", "--jwt-jwks"];
    for (flags, needed) in [
        (&["--api-keys", &missing][..], "--api-keys "),
        (&["--api-keys", &method], "method: line 2: expected a name"),
        (&["--api-keys", &keys, "--policy", &missing], "missing: cannot be read: No such file"),
        (
            &["--api-keys", &keys, "--policy", &method],
            "line 2: \"fanout.gateway.v1.GatewayService/GetProfil\" is no method",
        ),
        (&["--api-keys", &keys, "--policy", &method], GET_PROFILE),
        (&["--policy", &method], "is no method"),
        (&["--policy", &files.write("good", "* *")], "--policy needs --api-keys"),
        (&[&jwt[..], &[&empty]].concat(), "without a public key for RS256, ES256 or EdDSA"),
        (
            &[&jwt[..], &["ftp://x"]].concat(),
            "'--jwt-jwks <FILE|URL>' or GATEWAY_JWT_JWKS: expected the path of a file, or an",
        ),
        (&["--jwt-issuer", "x"], "missing '--jwt-audience <AUDIENCE>' and '--jwt-jwks <FILE|URL>'"),
        (&["--trust-context", "nobody"], "expected identified or everyone"),
        (&["--audit", "some"], "expected all, denied or off"),
    ] {
        let mut command = Command::new(binary::fanout());
        let output = command.args(["gateway", "--listen", "127.0.0.1:0", "--log", "off"]).args(flags).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), error.lines().count()), (Some(64), 1), "{flags:?}: {error}");
        assert!(error.starts_with("gateway: ") && error.contains(needed), "{needed:?} in {error}");
    }
}
