//! Telemetry to a collector with TLS, which asks for a certificate and a token.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
};

use e2e::{TIMEOUT, binary, collector::Collector, connect};
use fanout_proto::country::v1::{ListCountriesRequest, country_service_client::CountryServiceClient};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustix::process::{Pid, Signal, kill_process};

/// A certificate authority.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

// === impl Authority ===

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Returns a certificate and its key.
    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

/// A country service, and what it logs. It is killed when this is dropped.
struct Service {
    process: Child,
    log: Receiver<String>,
    url: String,
}

// === impl Service ===

impl Service {
    /// Starts it so that it exports spans and metrics at once.
    fn start(collector: &Collector, log: &str, env: &[(&str, &str)]) -> Self {
        let mut command = Command::new(binary::fanout());
        command.args(["country-service", "--listen", "127.0.0.1:0", "--delay", "0", "--log", log]);
        command.envs(collector.env()).env("OTEL_METRIC_EXPORT_INTERVAL", "100").envs(env.iter().copied());
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        let (send, log) = mpsc::channel();
        thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        let mut service = Self { process, log, url: String::new() };
        let listening = service.until("listening");
        let port = listening.split_once("127.0.0.1:").unwrap().1;
        service.url = format!("http://127.0.0.1:{}", port.split(|c: char| !c.is_ascii_digit()).next().unwrap());
        service
    }

    /// Waits for a log line with this text.
    fn until(&self, text: &str) -> String {
        loop {
            let line = self.log.recv_timeout(TIMEOUT).unwrap_or_else(|_| panic!("no line with {text:?}"));
            if line.contains(text) {
                return line;
            }
        }
    }

    async fn call(&self) {
        let mut countries = CountryServiceClient::new(connect(&self.url).await);
        countries.list_countries(ListCountriesRequest::default()).await.unwrap();
    }

    /// Stops it, and returns the rest of its log.
    fn stop(self) -> Vec<String> {
        kill_process(Pid::from_child(&self.process), Signal::TERM).unwrap();
        // Ends with the process.
        let mut lines = Vec::new();
        while let Ok(line) = self.log.recv_timeout(TIMEOUT) {
            lines.push(line);
        }
        lines
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn file(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_and_metrics_reach_a_collector_that_asks_for_a_certificate_and_a_token() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new("own");
    let (certificate, key) = authority.issue("localhost");
    let collector = Collector::start_with_tls(&certificate, &key, &authority.pem).await;
    let (certificate, key) = authority.issue("country-service");
    let service = Service::start(
        &collector,
        "trace",
        &[
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", &file(dir.path(), "ca.pem", &authority.pem)),
            ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", &file(dir.path(), "client.pem", &certificate)),
            ("OTEL_EXPORTER_OTLP_CLIENT_KEY", &file(dir.path(), "client.key", &key)),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20hunter2"),
            ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "authorization=Basic%20hunter2%3D"),
        ],
    );
    service.until(" serving");
    service.call().await;
    let found = collector.authorizations().await.into_iter().collect::<Vec<_>>();
    assert_eq!(found, [("metrics", "Basic hunter2=".to_owned()), ("spans", "Bearer hunter2".to_owned())]);
    let log = service.stop();
    let shown: Vec<_> = log.iter().filter(|line| line.contains("hunter2") || line.contains(" WARN ")).collect();
    assert!(shown.is_empty(), "{shown:?}");
    assert!(log.iter().any(|line| line.contains("TRACE")), "everything is logged");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_cannot_be_trusted_gets_nothing_and_is_said_once() {
    let dir = tempfile::tempdir().unwrap();
    let (authority, other) = (Authority::new("own"), Authority::new("other"));
    let (certificate, key) = authority.issue("localhost");
    let collector = Collector::start_with_tls(&certificate, &key, &authority.pem).await;
    let other = file(dir.path(), "other.pem", &other.pem);
    let own = file(dir.path(), "ca.pem", &authority.pem);
    // By TLS 1.3 the client has finished when the server finds its certificate missing, and may see only the end.
    for (trusted, reason) in [(other, "UnknownIssuer"), (own, "transport error")] {
        let env = [("OTEL_EXPORTER_OTLP_CERTIFICATE", trusted.as_str()), ("OTEL_METRICS_EXPORTER", "none")];
        let service = Service::start(&collector, "info", &env);
        service.until(" serving");
        service.call().await;
        let warning = service.until("spans are dropped");
        assert!(warning.contains(reason), "{warning}");
        service.call().await;
        let log = service.stop();
        assert!(!log.iter().any(|line| line.contains("spans are dropped")), "once: {log:?}");
        assert!(log.iter().any(|line| line.contains("spans were dropped")), "and how many, at the end: {log:?}");
    }
}
