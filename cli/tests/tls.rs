//! Callers and gateways that do not speak TLS with each other: what is wrong is named, with exit code 69 and what to do.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

mod other_server;

use std::process::{Command, Output};

use other_server::OtherServer;
use tempfile::TempDir;

/// A gateway with TLS, whose backends are not there, and the certificates.
struct Gateway {
    server: OtherServer,
    certs: TempDir,
}

impl Gateway {
    /// Starts a gateway with these flags in addition; `CERTS` in them is the directory with the certificates.
    fn start(flags: &[&str]) -> Self {
        let certs = tempfile::tempdir().unwrap();
        let path = certs.path().to_str().unwrap();
        let made = fanout(&["certs", path, "--client", "alice"]);
        assert!(made.status.success(), "{made:?}");
        let own = ["--tls-cert", "CERTS/gateway/tls.crt", "--tls-key", "CERTS/gateway/tls.key"];
        let nowhere = ["--user-service", "http://127.0.0.1:1", "--country-service", "http://127.0.0.1:1"];
        let flags: Vec<_> = own.iter().chain(&nowhere).chain(flags).map(|flag| flag.replace("CERTS", path)).collect();
        let flags: Vec<_> = flags.iter().map(String::as_str).collect();
        Self { server: OtherServer::start_with("gateway", &flags), certs }
    }

    fn address(&self) -> &str {
        self.server.grpc.strip_prefix("http://").unwrap()
    }

    /// Runs `fanout call` with these flags; `CERTS` in them is the directory with the certificates, and `GATEWAY` the
    /// gateway's address.
    fn call(&self, flags: &str) -> Output {
        let certs = self.certs.path().to_str().unwrap();
        let flags = flags.replace("CERTS", certs).replace("GATEWAY", self.address());
        fanout(&[&["call", "profile", "ada"], &*flags.split(' ').collect::<Vec<_>>()].concat())
    }

    /// Asserts that the call ends with exit code 69 and this line.
    #[track_caller]
    fn assert_refused(&self, flags: &str, url: &str, problem: &str) {
        let output = self.call(flags);
        let expected = format!("fanout: no gateway at {url} {problem}\n").replace("GATEWAY", self.address());
        assert_eq!(String::from_utf8(output.stderr).unwrap(), expected, "{flags}");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(69), 0), "{flags}");
    }

    /// Asserts that the call has reached the gateway, which has no backends.
    #[track_caller]
    fn assert_reached(&self, flags: &str) {
        let output = self.call(flags);
        let text = String::from_utf8(output.stdout.clone()).unwrap();
        assert!(output.status.code() == Some(1) && text.contains("UNAVAILABLE"), "{flags}: {output:?}");
    }
}

fn fanout(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fanout"))
        .args(args)
        .env("LC_ALL", "C.UTF-8")
        .env_remove("FANOUT_GATEWAY")
        .output()
        .unwrap()
}

#[test]
fn a_caller_without_tls_is_told() {
    let gateway = Gateway::start(&[]);
    gateway.assert_refused(
        "--gateway GATEWAY",
        "http://GATEWAY",
        "(it speaks TLS): name it with https://, and its authority with --tls-ca",
    );
}

#[test]
fn a_gateway_without_tls_is_named() {
    let server = OtherServer::start("gateway");
    let url = server.grpc.replace("http://", "https://");
    let output = fanout(&["call", "profile", "ada", "--gateway", &url]);
    let expected = format!(
        "fanout: no gateway at {url} (it closed the connection during the TLS handshake): if it is without TLS, name it with \
         http://\n"
    );
    assert_eq!((String::from_utf8(output.stderr).unwrap(), output.status.code()), (expected, Some(69)));
}

#[test]
fn the_gateway_has_to_prove_its_name() {
    let gateway = Gateway::start(&[]);
    let url = "https://GATEWAY";
    gateway.assert_refused(
        "--gateway https://GATEWAY",
        url,
        "(its certificate is from an unknown authority): name its authority with --tls-ca",
    );
    gateway.assert_refused(
        "--gateway https://GATEWAY --tls-ca CERTS/ca.pem --tls-server-name gateway.example.com",
        url,
        "(its certificate is not for gateway.example.com): name it by a host in its certificate, or name that host with \
         --tls-server-name",
    );
    gateway.assert_reached("--gateway https://GATEWAY --tls-ca CERTS/ca.pem");
    gateway.assert_reached("--gateway https://GATEWAY --tls-ca CERTS/ca.pem --tls-server-name gateway.fanout.svc");
}

#[test]
fn the_caller_has_to_prove_its_name_if_the_gateway_asks() {
    const WITH_CA: &str = "--gateway https://GATEWAY --tls-ca CERTS/ca.pem";
    let gateway = Gateway::start(&["--tls-client-ca", "CERTS/ca.pem", "--allow-client", "spiffe://fanout/alice"]);
    let url = "https://GATEWAY";
    gateway.assert_refused(
        WITH_CA,
        url,
        "(it requires a client certificate): present one with --tls-cert and --tls-key",
    );
    let of = |name: &str| format!("{WITH_CA} --tls-cert CERTS/{name}/tls.crt --tls-key CERTS/{name}/tls.key");
    gateway.assert_refused(
        &of("user-service"),
        url,
        "(it refuses this caller's certificate): present another one with --tls-cert and --tls-key",
    );
    gateway.assert_reached(&of("alice"));
}

#[test]
fn other_clients_get_the_same_flags() {
    let gateway = Gateway::start(&[]);
    let output = gateway.call("--gateway https://GATEWAY --tls-ca CERTS/ca.pem");
    let text = String::from_utf8(output.stdout).unwrap().replace(" \\\n   ", "");
    let (ca, address) = (gateway.certs.path().join("ca.pem"), gateway.address());
    let [grpcurl, buf] = [format!("grpcurl -cacert {} -d", ca.display()), format!("--cacert {} -d", ca.display())];
    assert!(text.contains(&grpcurl) && text.contains(&buf), "{text}");
    assert!(text.contains(&format!(" {address} fanout.gateway.v1")), "{text}");
    assert!(text.contains(&format!(" https://{address}/fanout.gateway.v1")), "{text}");
    assert!(!text.contains("-plaintext") && !text.contains("--http2-prior-knowledge"), "{text}");
}
