//! `--delay` and `--baggage` of `fanout compare`, `load` and `call`, against the real services of a `fanout up`.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

mod fleet;

use std::process::{Command, Output};

use fanout_cli::services::{self, Service};
use fleet::Fleet;
use serde_json::Value;

/// The backends' own delay: requests that do not change it miss their deadline.
const DELAY: &str = "60s";
const TIMEOUT: &str = "50s";

/// Runs a command against the gateway.
fn run(fleet: &Fleet, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fanout"));
    command.args(args).args(["--gateway", &fleet.gateway, "--timeout", TIMEOUT]).output().unwrap()
}

/// Compares with these flags, and returns the milliseconds that each backend's call took in a joined request.
fn durations(fleet: &Fleet, args: &[&str]) -> (f64, f64) {
    let output = run(fleet, &[&["compare", "--json", "--strategy", "concurrent"], args].concat());
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
fn assert_rejected(fleet: &Fleet, args: &[&str], message: &str) {
    let output = run(fleet, args);
    let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!((output.status.code(), stdout.as_str()), (Some(64), ""), "{stderr}");
    assert_eq!(stderr, format!("fanout: the gateway rejects the request: {message}\n"));
}

#[test]
fn a_delay_is_of_all_backends_or_of_one() {
    let fleet = Fleet::start(DELAY);
    let (user, country) = durations(&fleet, &["--delay", "200ms"]);
    assert!(user >= 200.0 && country >= 200.0, "{user} ms, {country} ms");
    let (user, country) = durations(&fleet, &["--delay", "user=100ms,2s"]);
    assert!(user >= 100.0 && user < country && country >= 2000.0, "{user} ms, {country} ms");
    let (user, country) = durations(&fleet, &["--delay", "2s", "--delay", "country=p50=100ms,p99=200ms"]);
    assert!(country < user && user >= 2000.0, "{user} ms, {country} ms");
    // Keys of other systems are not judged.
    durations(&fleet, &["--delay", "0", "--baggage", "tenant=7", "--baggage", "queue.retry.delay=soon"]);
}

#[test]
fn an_unknown_backend_is_one_error_before_anything_is_shown() {
    let fleet = Fleet::start(DELAY);
    let names: Vec<_> = services::backends().map(Service::short_name).collect();
    let allowed = format!("expected {}, or * for all", names.join(", "));
    let usr = format!("baggage: usr.delay: no service is named \"usr\" (did you mean \"user\"?); {allowed}");
    for command in [&["compare"][..], &["load"], &["call", "profile", "ada"], &["call", "users", "ada"]] {
        assert_rejected(&fleet, &[command, &["--delay", "usr=1s"]].concat(), &usr);
        assert_rejected(&fleet, &[command, &["--delay", "usr=1s", "--json"]].concat(), &usr);
    }
    assert_rejected(&fleet, &["load", "--rate", "50", "--duration", "1h", "--baggage", "usr.delay=1s"], &usr);
    let weather = format!("baggage: weather.error-rate: no service is named \"weather\"; {allowed}");
    assert_rejected(&fleet, &["compare", "--baggage", "weather.error-rate=1"], &weather);
    let output = run(&fleet, &["compare", "--baggage", "user.error-rate=2"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), stderr.lines().count()), (Some(64), 1), "{stderr}");
    assert!(stderr.contains("baggage: user.error-rate: \"2\""), "{stderr}");
}
