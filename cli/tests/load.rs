//! `fanout load` against a gateway that delays, fails and stalls as a test needs.

#![allow(clippy::float_cmp, reason = "the gateway's figures are exact")]

mod fake_gateway;

use std::time::Duration;

use fake_gateway::{Behaviour, FakeGateway, command, fanout, json};
use serde_json::Value;

fn delays(user: u64, country: u64) -> Behaviour {
    Behaviour { user: Duration::from_millis(user), country: Duration::from_millis(country), ..Behaviour::default() }
}

fn figure(document: &Value, path: &str) -> f64 {
    document.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("{path} in {document}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn two_callers_of_a_sequential_profile_do_not_wait_for_one_another() {
    let gateway = FakeGateway::start(delays(500, 500)).await;
    let document = json(&fanout(&gateway.url, &["load", "--strategy", "sequential", "--json"]).await);
    let (wall, max) = (figure(&document, "/wall_ms"), figure(&document, "/latency_ms/all/max"));
    assert_eq!(document["codes"], serde_json::json!({"OK": 2}));
    assert!(figure(&document, "/latency_ms/all/min") >= 1000.0, "{document}");
    // One after the other would take twice as long.
    assert!(wall >= max * 0.99 && wall < 1500.0, "{document}");
    assert_eq!(document["overlap"]["mean_total_ms"], 1000.0);
    assert_eq!(document["overlap"]["mean_saved_ms"], 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_text_states_that_callers_do_not_wait() {
    let gateway = FakeGateway::start(delays(400, 400)).await;
    let done = fanout(&gateway.url, &["load", "--callers", "2", "--strategy", "sequential"]).await;
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""));
    assert!(done.stdout.contains("\n2 callers, each waited 8"), "{}", done.stdout);
    assert!(done.stdout.contains(" ms; all done after 8"), "{}", done.stdout);
    assert!(done.stdout.contains("callers did not wait for one another: in turn it would have been 1.6"));
    assert!(done.stdout.contains("on average 800 ms of calls took 800 ms: overlapping saved 0 s"));
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_by_code_are_exact() {
    let behaviour = Behaviour { fail_every: Some(4), ..delays(5, 5) };
    let gateway = FakeGateway::start(behaviour).await;
    let flags = ["load", "--callers", "7", "--requests", "100", "--connections", "3", "--json"];
    let done = fanout(&gateway.url, &flags).await;
    let document = json(&done);
    assert_eq!(document["codes"], serde_json::json!({"OK": 75, "RESOURCE_EXHAUSTED": 25}));
    assert_eq!((gateway.requests(), &document["requests"]), (100, &100.into()));
    assert_eq!(
        (figure(&document, "/latency_ms/ok/count"), figure(&document, "/latency_ms/failed/count")),
        (75.0, 25.0)
    );
    assert_eq!(figure(&document, "/overlap/reports"), 75.0);
    assert_eq!(done.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_of_each_method_is_read() {
    let gateway = FakeGateway::start(delays(20, 10)).await;
    for (method, saved) in [("get-profile", 10.0), ("get-home-country", 0.0)] {
        let document = json(&fanout(&gateway.url, &["load", "--method", method, "--json"]).await);
        assert_eq!(figure(&document, "/overlap/mean_total_ms"), 30.0, "{method}");
        assert_eq!(figure(&document, "/overlap/mean_saved_ms"), saved, "{method}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_success_it_fails_with_the_reason() {
    let gateway = FakeGateway::start(delays(1, 1)).await;
    let done = fanout(&gateway.url, &["load", "--user", "nobody", "--callers", "3"]).await;
    assert_eq!(done.code, Some(1));
    assert!(done.stdout.contains("NOT_FOUND   3   no user \"nobody\""), "{}", done.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_loop_measures_from_the_instant_at_which_a_request_was_due() {
    // The server stalls for 600 ms from the 21st request on: all requests that are due meanwhile wait.
    let stall = Some((21, Duration::from_millis(600)));
    let gateway = FakeGateway::start(Behaviour { stall, ..Behaviour::default() }).await;
    // One in flight, so that later ones cannot even be sent: a closed loop would show a single slow request.
    let flags = ["load", "--rate", "100", "--requests", "100", "--max-in-flight", "1", "--json"];
    let document = json(&fanout(&gateway.url, &flags).await);
    assert_eq!(document["codes"], serde_json::json!({"OK": 100}));
    assert!(figure(&document, "/latency_ms/all/max") >= 590.0, "{document}");
    // 60 requests were due during the stall, at equal intervals: half of them waited 300 ms or more.
    let p90 = figure(&document, "/latency_ms/all/p90");
    assert!(p90 >= 400.0, "coordinated omission: p90 is {p90} ms in {document}");
    assert!(figure(&document, "/late") >= 50.0, "{document}");
    assert!(figure(&document, "/latest_ms") >= 500.0, "{document}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_cannot_be_sent_in_time_are_counted() {
    let gateway = FakeGateway::start(delays(200, 200)).await;
    // All are due at once, and one may be in flight: all others have the same deadline as the second one.
    let flags =
        ["load", "--rate", "100000", "--requests", "50", "--max-in-flight", "1", "--timeout", "300ms", "--json"];
    let document = json(&fanout(&gateway.url, &flags).await);
    assert_eq!((&document["requests"], &document["codes"]["OK"]), (&50.into(), &1.into()), "{document}");
    assert!(figure(&document, "/unsent") > 30.0, "{document}");
    assert!(gateway.requests() < 20, "{document}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duration_ends_the_test_and_baggage_arrives() {
    let gateway = FakeGateway::start(delays(20, 20)).await;
    let flags = ["load", "--callers", "3", "--duration", "300ms", "--delay", "user=0", "--json"];
    let document = json(&fanout(&gateway.url, &flags).await);
    assert!(figure(&document, "/wall_ms") >= 300.0, "{document}");
    let headers = gateway.headers("baggage");
    assert_eq!(headers.len() as u64, gateway.requests());
    assert!(headers.iter().all(|header| header == "user.delay=0"));
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_the_test_early_and_prints_the_result() {
    let gateway = FakeGateway::start(delays(50, 50)).await;
    let mut load = command(&gateway.url, &["load", "--duration", "60s", "--callers", "4", "--json"]);
    let child = load.stdout(std::process::Stdio::piped()).spawn().unwrap();
    gateway.wait_for_requests(12).await;
    let signalled = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(signalled.success());
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["interrupted"], true);
    assert!(figure(&document, "/codes/OK") >= 8.0, "{document}");
    assert_eq!(figure(&document, "/abandoned") + figure(&document, "/requests"), {
        #[allow(clippy::cast_precision_loss, reason = "few")]
        let requests = gateway.requests() as f64;
        requests
    });
    assert_eq!(output.status.code(), Some(0));
}
