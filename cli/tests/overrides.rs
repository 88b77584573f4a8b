//! `--delay` and `--baggage` of `fanout compare` and `fanout load`, against the real services of a `fanout up`.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Output, Stdio},
};

use fanout_cli::services::{self, SERVICES, Service};
use serde_json::Value;
use tempfile::TempDir;

/// The backends' own delay: requests that do not change it miss their deadline.
const DELAY: &str = "60s";
const TIMEOUT: &str = "50s";

/// A running `fanout up` on free ports. Its services end with it.
struct Up {
    process: Child,
    gateway: String,
    _data: TempDir,
}

// === impl Up ===

impl Up {
    fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_fanout"))
            .args(["up", "--json", "--delay", DELAY, "--log", "warn", "--data-dir"])
            .arg(data.path())
            .args(SERVICES.iter().map(|service| format!("--port={}=0", service.name)))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // The services write to the same pipe, which stays open as long as this reader: hence the leak.
        let lines = Box::leak(Box::new(BufReader::new(process.stdout.take().unwrap()))).lines();
        let mut banners = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
        let banner = banners.find(|line| line["message"] == "up").unwrap();
        let is_gateway = |service: &&Value| service["service"] == "gateway";
        let gateway = banner["services"].as_array().unwrap().iter().find(is_gateway).unwrap();
        let gateway = format!("http://{}", gateway["address"].as_str().unwrap());
        Self { process, gateway, _data: data }
    }

    /// Runs a command against the gateway.
    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fanout"));
        command.args(args).args(["--gateway", &self.gateway, "--timeout", TIMEOUT]).output().unwrap()
    }

    /// Compares with these flags, and returns the milliseconds that each backend's call took in a joined request.
    fn durations(&self, args: &[&str]) -> (f64, f64) {
        let output = self.run(&[&["compare", "--json", "--strategy", "concurrent"], args].concat());
        let stderr = String::from_utf8(output.stderr).unwrap();
        let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{stderr}"));
        let run = &document["runs"][0];
        assert_eq!((&run["code"], output.status.code()), (&"OK".into(), Some(0)), "{document}");
        let calls = run["report"]["calls"].as_array().unwrap();
        let duration = |name| calls.iter().find(|call| call["name"] == name).unwrap()["duration_ms"].as_f64().unwrap();
        (duration("user"), duration("country"))
    }

    /// Asserts that the command ends with the exit code of a wrong setting and this line on standard error alone.
    #[track_caller]
    fn assert_rejected(&self, args: &[&str], message: &str) {
        let output = self.run(args);
        let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert_eq!((output.status.code(), stdout.as_str()), (Some(64), ""), "{stderr}");
        assert_eq!(stderr, format!("fanout: the gateway rejects the request: {message}\n"));
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_delay_is_of_all_backends_or_of_one() {
    let up = Up::start();
    let (user, country) = up.durations(&["--delay", "200ms"]);
    assert!(user >= 200.0 && country >= 200.0, "{user} ms, {country} ms");
    let (user, country) = up.durations(&["--delay", "user=100ms,2s"]);
    assert!(user >= 100.0 && user < country && country >= 2000.0, "{user} ms, {country} ms");
    let (user, country) = up.durations(&["--delay", "2s", "--delay", "country=p50=100ms,p99=200ms"]);
    assert!(country < user && user >= 2000.0, "{user} ms, {country} ms");
    // Keys of other systems are not judged.
    up.durations(&["--delay", "0", "--baggage", "tenant=7", "--baggage", "queue.retry.delay=soon"]);
}

#[test]
fn an_unknown_backend_is_one_error_before_anything_is_shown() {
    let up = Up::start();
    let names: Vec<_> = services::backends().map(Service::short_name).collect();
    let allowed = format!("expected {}, or * for all", names.join(", "));
    let usr = format!("baggage: usr.delay: no service is named \"usr\" (did you mean \"user\"?); {allowed}");
    for command in ["compare", "load"] {
        up.assert_rejected(&[command, "--delay", "usr=1s"], &usr);
        up.assert_rejected(&[command, "--delay", "usr=1s", "--json"], &usr);
    }
    up.assert_rejected(&["load", "--rate", "50", "--duration", "1h", "--baggage", "usr.delay=1s"], &usr);
    let weather = format!("baggage: weather.error-rate: no service is named \"weather\"; {allowed}");
    up.assert_rejected(&["compare", "--baggage", "weather.error-rate=1"], &weather);
    let output = up.run(&["compare", "--baggage", "user.error-rate=2"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), stderr.lines().count()), (Some(64), 1), "{stderr}");
    assert!(stderr.contains("baggage: user.error-rate: \"2\""), "{stderr}");
}
