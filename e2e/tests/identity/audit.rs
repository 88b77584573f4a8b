//! The audit log, and that no log has a secret.

use e2e::scrape;
use serde_json::Value;

use crate::edge::{Edge, Files};

fn is_audit(line: &Value) -> bool {
    line["target"] == "audit"
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_decision_is_a_line_whatever_the_filter_of_the_log() {
    let files = Files::new();
    let key = format!("Bearer {}", files.new_key("reports", "keys"));
    let policy = files.write("policy", "key:reports fanout.gateway.v1.GatewayService/GetProfile\n");
    let keys = files.path("keys").to_str().unwrap().to_owned();
    // Of other lines, only that it listens.
    let log = ["--log", "off,service_kit::serve=info"];
    let edge = Edge::start(&[&["--api-keys", &keys, "--policy", &policy][..], &log].concat()).await;
    let allowed = edge.call(&[("authorization", &key)]).await;
    let line = edge.service.log.wait_for("that it was let in", is_audit).await;
    let field = |line: &Value, name: &str| line[name].as_str().unwrap_or_default().to_owned();
    for (name, expected) in
        [("decision", "allow"), ("identity", "key:reports"), ("method", "fanout.gateway.v1.GatewayService/GetProfile")]
    {
        assert_eq!(field(&line, name), expected, "{line}");
    }
    assert!(field(&line, "peer").starts_with("127.0.0.1:"), "{line}");
    let traceresponse = allowed.metadata().get("traceresponse").unwrap().to_str().unwrap();
    assert_eq!(traceresponse.split('-').nth(1).unwrap(), field(&line, "trace_id"));

    let trace = "0af7651916cd43dd8448eb211c80319c";
    let traceparent = format!("00-{trace}-b7ad6b7169203331-00");
    edge.stream(&[("authorization", &key), ("traceparent", &traceparent)]).await;
    edge.call(&[("authorization", "Bearer fo_wrong")]).await;
    let denied = |line: &Value| is_audit(line) && line["decision"] == "deny";
    edge.service.log.wait_for_number(2, "that they were refused", denied).await;
    let lines = edge.service.log.lines(denied);
    let facts = |line: &Value| ["reason", "identity", "trace_id"].map(|name| field(line, name));
    assert_eq!(facts(&lines[0]), ["METHOD_NOT_ALLOWED", "key:reports", trace]);
    assert_eq!(facts(&lines[1]), ["UNKNOWN_API_KEY", "anonymous", ""]);
    assert_eq!(edge.service.log.count(|line| !is_audit(line) && line["target"] != "service_kit::serve"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_bad_credentials_is_counted_and_logged_in_part() {
    const FLOOD: usize = 500;
    let files = Files::new();
    let key = files.new_key("reports", "keys");
    let keys = files.path("keys").to_str().unwrap().to_owned();
    let edge =
        Edge::start_with(&["--api-keys", &keys, "--audit", "denied", "--max-in-flight", "1"], &scrape::PROMETHEUS)
            .await;
    for _ in 0..FLOOD {
        assert_eq!(edge.try_with("fo_wrong").await, Err("Unauthenticated UNKNOWN_API_KEY".to_owned()));
    }
    assert_eq!(edge.try_with(&key).await, Ok(()), "the place is free");
    let told = |lines: &[Value]| -> u64 {
        lines.iter().map(|line| line["others"].as_u64().unwrap_or(0) + u64::from(line["reason"].is_string())).sum()
    };
    let all = |lines: &[Value]| {
        let lines: Vec<_> = lines.iter().filter(|line| is_audit(line)).cloned().collect();
        (told(&lines) == FLOOD as u64).then_some(lines)
    };
    let lines = edge.service.log.wait_until("all are told", all).await;
    assert!(lines.len() < FLOOD / 2, "{}", lines.len());
    assert!(lines.iter().all(|line| line["decision"] == "deny"), "with `denied`, nothing else is logged");
    let metrics = scrape::get(&edge.service.metrics).1;
    let counted = |name: &str, label: &str| {
        metrics
            .lines()
            .any(|line| line.starts_with(name) && line.contains(label) && line.ends_with(&format!(" {FLOOD}")))
    };
    assert!(counted("fanout_server_denied_total", "UNKNOWN_API_KEY"), "{metrics}");
    assert!(counted("rpc_server_call_duration_seconds_count", "UNAUTHENTICATED"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_log_has_a_key() {
    let files = Files::new();
    let key = files.new_key("reports", "keys");
    let keys = files.path("keys").to_str().unwrap().to_owned();
    let mut edge = Edge::start(&["--api-keys", &keys, "--log", "trace"]).await;
    let wrong = "fo_a-wrong-one";
    assert_eq!(edge.try_with(&key).await, Ok(()));
    assert!(edge.try_with(wrong).await.is_err());
    edge.service.terminate();
    edge.service.wait();
    let secrets = [&key["fo_".len()..], &wrong["fo_".len()..]];
    let leaks = edge.service.log.lines(|line| secrets.iter().any(|secret| line.to_string().contains(secret)));
    assert_eq!(leaks, Vec::<Value>::new());
    assert!(edge.service.log.count(|line| line["level"] == "TRACE") > 0, "everything was logged");
}
