//! One trace, with the verdict on it.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

mod fixture;

use serde_json::{Value, json};

use self::fixture::{Viewer, otlp_json, request, trace_id};

/// A request with two calls of 300 ms, one after the other.
const IN_TURN: &[(u64, u64, &str, u64, u64)] =
    &[(1, 0, "checkout", 0, 610), (2, 1, "price", 0, 300), (3, 1, "stock", 301, 300)];

async fn send(viewer: &Viewer, number: u64, spans: &[(u64, u64, &str, u64, u64)]) {
    let json = otlp_json(&trace_id(number), "shop", spans);
    let reply = viewer.post_traces("application/json", json.as_bytes()).await;
    assert_eq!((reply.status, reply.text().as_str()), (200, "{}"));
}

fn ms(nanos: &Value) -> u64 {
    nanos.as_u64().unwrap() / 1_000_000
}

#[tokio::test]
async fn calls_in_turn_are_found_with_what_joining_saves() {
    let viewer = Viewer::start().await;
    send(&viewer, 1, IN_TURN).await;
    let trace = viewer.get(&format!("/api/traces/{}", trace_id(1))).await;
    let summary = &trace["trace"];
    assert_eq!((&summary["root"]["name"], &summary["spans"]), (&json!("checkout"), &json!(3)));
    assert_eq!((ms(&summary["duration"]), ms(&summary["avoidable"]), ms(&summary["saved"])), (610, 300, 0));
    assert_eq!((&summary["certainty"], &summary["complete"]), (&json!("unknown"), &json!(true)));
    assert_eq!((&summary["start"], &summary["start_ms"]), (&json!("1700000000000000000"), &json!(1_700_000_000_000.0)));

    let span = &trace["spans"][2];
    assert_eq!((&span["name"], &span["depth"], &span["kind"]), (&json!("stock"), &json!(1), &json!("client")));
    assert_eq!((&span["parent_span_id"], ms(&span["start_offset"])), (&json!("0000000000000001"), 301));
    assert_eq!(
        (&span["source"], &trace["sources"]),
        (&json!(0), &json!([{"resource": {"service.name": "shop"}, "scope": null}]))
    );

    let fan_out = &trace["fan_outs"][0];
    assert_eq!((ms(&fan_out["wall"]), ms(&fan_out["sum"]), ms(&fan_out["avoidable"])), (601, 600, 300));
    let sequence = &fan_out["sequences"][0];
    assert_eq!(sequence["calls"], json!(["0000000000000002", "0000000000000003"]));
    let sentence = sequence["sentence"].as_str().unwrap();
    assert!(sentence.contains("601 ms") && sentence.contains("if the second does not need the first"), "{sentence}");
    assert!(!trace["verdict"].as_array().unwrap().is_empty());
    let path: u64 = trace["critical_path"].as_array().unwrap().iter().map(|segment| ms(&segment["duration"])).sum();
    assert_eq!(path, 610, "{}", trace["critical_path"]);

    // The list shows the same.
    assert_eq!(viewer.get("/api/traces?min_avoidable=250ms").await["traces"][0], *summary);
    assert_eq!(viewer.get("/api/traces?min_avoidable=350ms").await["traces"], json!([]));
}

#[tokio::test]
async fn late_and_lonely_and_endless_spans_are_shown() {
    let viewer = Viewer::start().await;
    // Its parent has not come.
    send(&viewer, 1, &[(2, 1, "stock", 10, 300)]).await;
    let summary = viewer.get("/api/traces").await["traces"][0].clone();
    assert_eq!((&summary["complete"], &summary["root"]["name"]), (&json!(false), &json!("stock")));
    let trace = viewer.get(&format!("/api/traces/{}", trace_id(1))).await;
    assert_eq!((&trace["spans"][0]["parent_span_id"], trace["problems"].as_array().unwrap().len()), (&Value::Null, 1));
    // It comes late.
    send(&viewer, 1, &[(1, 0, "checkout", 0, 400)]).await;
    let summary = viewer.get("/api/traces").await["traces"][0].clone();
    assert_eq!((&summary["complete"], &summary["root"]["name"]), (&json!(true), &json!("checkout")));

    // A span without an end.
    let json = otlp_json(&trace_id(2), "shop", &[(1, 0, "checkout", 0, 0)]);
    let mut endless: Value = serde_json::from_str(&json).unwrap();
    endless["resourceSpans"][0]["scopeSpans"][0]["spans"][0].as_object_mut().unwrap().remove("endTimeUnixNano");
    assert_eq!(viewer.post_traces("application/json", endless.to_string().as_bytes()).await.status, 200);
    let trace = viewer.get(&format!("/api/traces/{}", trace_id(2))).await;
    assert_eq!(trace["spans"][0]["duration"], 0);
}

#[tokio::test]
async fn a_download_can_be_sent_again() {
    let viewer = Viewer::start().await;
    send(&viewer, 1, IN_TURN).await;
    let path = format!("/api/traces/{}/otlp", trace_id(1));
    let download = viewer.get_reply(&path).await;
    let disposition = format!("attachment; filename=\"trace-{}.json\"", trace_id(1));
    assert_eq!(download.header("content-disposition"), Some(disposition.as_str()));

    let other = Viewer::start().await;
    assert_eq!(other.post_traces("application/json", &download.body).await.status, 200);
    assert_eq!(other.get_reply(&path).await.body, download.body);

    let analyzed = request(other.page, "POST", "/api/analyze", &[], &download.body).await;
    assert_eq!((analyzed.status, analyzed.json()["format"].as_str()), (200, Some("OTLP JSON")));
    let of_store = other.get(&format!("/api/traces/{}", trace_id(1))).await;
    assert_eq!(analyzed.json()["traces"][0], of_store);
    assert_eq!(other.get("/api/status").await["traces"], 1, "a file is not kept");
}

#[tokio::test]
async fn what_cannot_be_found_or_read_says_so() {
    let viewer = Viewer::start().await;
    let none = viewer.get_reply(&format!("/api/traces/{}", trace_id(9))).await;
    assert_eq!((none.status, none.json()["error"]["field"].clone()), (404, Value::Null));
    let wrong = viewer.get_reply("/api/traces/xyz").await;
    assert_eq!((wrong.status, wrong.json()["error"]["field"].as_str()), (400, Some("id")));
    let file = request(viewer.page, "POST", "/api/analyze", &[], b"hello").await;
    assert_eq!(file.status, 400, "{}", file.text());
    assert!(file.json()["error"]["message"].as_str().unwrap().starts_with("the file cannot be read: "));
    let large = vec![b' '; (32 << 20) + 1];
    assert_eq!(request(viewer.page, "POST", "/api/analyze", &[], &large).await.status, 413);
}

// As of a Java process, whose resource has its whole command line.
#[tokio::test]
async fn a_large_resource_is_shown_once_for_all_its_spans_and_a_few_times_for_many_traces() {
    let viewer = Viewer::start().await;
    let large = "x".repeat(1 << 20);
    let resource = json!({"attributes": [{"key": "process.command_line", "value": {"stringValue": large}}]});
    let span = |trace: u64, span: u64| json!({"traceId": trace_id(trace), "spanId": format!("{span:016x}"), "startTimeUnixNano": "5"});
    let request_of = |spans: Vec<Value>| {
        json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]}).to_string()
    };
    let one = request_of((1..=1000).map(|number| span(1, number)).collect());
    assert_eq!(viewer.post_traces("application/json", one.as_bytes()).await.status, 200);
    let trace = viewer.get_reply(&format!("/api/traces/{}", trace_id(1))).await;
    assert!(trace.body.len() < 2 << 20, "{} bytes", trace.body.len());
    assert_eq!(trace.json()["spans"].as_array().unwrap().len(), 1000);

    let many = request_of((1..=400).map(|number| span(number, 1)).collect());
    let analyzed = request(viewer.page, "POST", "/api/analyze", &[], many.as_bytes()).await.json();
    assert_eq!(analyzed["traces"].as_array().unwrap().len(), 32);
    assert_eq!(analyzed["problems"], json!(["32 of 400 traces are shown"]));
}

#[tokio::test]
async fn spans_of_a_service_with_an_endless_name_are_rejected() {
    let viewer = Viewer::start().await;
    for (bytes, reply) in [
        (1024, json!({})),
        (
            1025,
            json!({"partialSuccess": {
                "rejectedSpans": "1",
                "errorMessage": "the resource or the scope of a span: the name of its service has 1025 bytes (limit 1024)",
            }}),
        ),
    ] {
        let json = otlp_json(&trace_id(1), &"x".repeat(bytes), &[(1, 0, "get", 0, 5)]);
        assert_eq!(viewer.post_traces("application/json", json.as_bytes()).await.json(), reply);
    }
}

#[tokio::test]
async fn spans_with_one_id_keep_their_own_attributes() {
    let viewer = Viewer::start().await;
    let send = async |service: &str, kind: u64, duration: u64| {
        let json = otlp_json(&trace_id(1), service, &[(1, 0, "get", 0, duration)]);
        let mut request: Value = serde_json::from_str(&json).unwrap();
        let span = &mut request["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
        span["kind"] = kind.into();
        span["attributes"] = json!([{"key": "of", "value": {"stringValue": service}}]);
        let reply = viewer.post_traces("application/json", request.to_string().as_bytes()).await;
        assert_eq!(reply.status, 200);
    };
    // As Zipkin's libraries have it: both sides of a call share one id. And another process that has it by mistake.
    send("server", 2, 80).await;
    send("client", 3, 100).await;
    send("other", 3, 20).await;
    let trace = viewer.get(&format!("/api/traces/{}", trace_id(1))).await;
    let spans = trace["spans"].as_array().unwrap();
    assert_eq!(spans.iter().map(|span| &span["service"]).collect::<Vec<_>>(), ["client", "server"], "{trace}");
    for span in spans {
        assert_eq!(span["attributes"]["of"], span["service"], "{span}");
        let source = &trace["sources"][usize::try_from(span["source"].as_u64().unwrap()).unwrap()];
        assert_eq!(source["resource"]["service.name"], span["service"], "{span}");
    }
}

#[tokio::test(start_paused = true)]
async fn whole_traces_count_once_in_their_operation() {
    let viewer = Viewer::start().await;
    for number in 1..=3 {
        send(&viewer, number, IN_TURN).await;
    }
    let advance = || tokio::time::advance(std::time::Duration::from_millis(100));
    let operations = loop {
        let operations = viewer.get("/api/operations").await["operations"].clone();
        if operations[0]["count"] == 3 {
            break operations;
        }
        advance().await;
    };
    // A minute later they still count once.
    for _ in 0..600 {
        advance().await;
    }
    assert_eq!(viewer.get("/api/operations").await["operations"], operations);
    let operation = &operations[0];
    assert_eq!((&operation["service"], &operation["name"]), (&json!("shop"), &json!("checkout")));
    assert_eq!(operation["certainty"], "unknown");
    assert!(operation["because"].as_str().unwrap().contains("one call needs the other"), "{operation}");
    assert!(operation["findings"][0].as_str().unwrap().contains("price"), "{operation}");
}
