//! What a service offers and refuses, as OpenSSL's client sees it.

use std::{
    net::TcpStream,
    process::{Command, Stdio},
};

use e2e::{
    backends::NO_REQUEST_LINES,
    certificates::{Authority, Secret},
    service::Service,
};

/// Connects with `openssl s_client`, and returns what it prints.
fn s_client(service: &Service, args: &[&str]) -> String {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", service.address()]).args(args).stdin(Stdio::null());
    let output = command.output().expect("openssl runs");
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_but_tls_1_3_with_http2() {
    let authority = Authority::new("fleet");
    let secret = Secret::new(&authority.sign_service("country-service"), &authority.pem);
    let args = secret.server_args();
    let args: Vec<_> = args.iter().map(String::as_str).chain(["--delay", "0"]).chain(NO_REQUEST_LINES).collect();
    let service = Service::start("country-service", &args, "serving");
    let ca = secret.path("ca.crt").display().to_string();

    let offered = s_client(&service, &["-alpn", "h2", "-CAfile", &ca, "-servername", "localhost"]);
    for expected in ["New, TLSv1.3", "ALPN protocol: h2", "Verify return code: 0 (ok)"] {
        assert!(offered.contains(expected), "{expected} in\n{offered}");
    }
    for (version, args) in [("1.2", ["-tls1_2", "-alpn", "h2"]), ("1.1", ["-tls1_1", "-alpn", "h2"])] {
        let downgraded = s_client(&service, &args);
        assert!(!downgraded.contains("BEGIN CERTIFICATE"), "TLS {version}:\n{downgraded}");
        if version == "1.2" {
            assert!(downgraded.contains("alert protocol version"), "{downgraded}");
        }
    }
    let http1 = s_client(&service, &["-alpn", "http/1.1"]);
    assert!(http1.contains("no application protocol"), "{http1}");
    // It is told after the handshake: a client without ALPN has no other way to learn it.
    let without_alpn = s_client(&service, &["-ign_eof"]);
    assert!(without_alpn.contains("ALPN h2 is required"), "{without_alpn}");
    let reason = "it does not offer TLS 1.3 with a cipher suite that is known here";
    service.log.wait_for(reason, |line| line["level"] == "WARN" && line["reason"] == reason).await;
    drop(TcpStream::connect(service.address()).unwrap());
    assert!(service.log.count(|line| line["level"] == "WARN") <= 2, "one warning stands for many");
}
