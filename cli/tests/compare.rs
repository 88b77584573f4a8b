//! `fanout compare` against a gateway that reports exact figures.

mod fake_gateway;

use std::time::Duration;

use fake_gateway::{Behaviour, FakeGateway, fanout, json};

fn delays(user: u64, country: u64) -> Behaviour {
    Behaviour { user: Duration::from_millis(user), country: Duration::from_millis(country), ..Behaviour::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_is_drawn_and_judged() {
    let gateway = FakeGateway::start(delays(300, 300)).await;
    let done = fanout(&gateway.url, &["compare"]).await;
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{}", done.stdout);
    let last = "joining saves 300 ms: 600 ms in turn, 300 ms together\n\
                a task for each call changes nothing: 300 ms, 300 ms in one task\n";
    assert!(done.stdout.ends_with(last), "{}", done.stdout);
    assert!(done.stdout.starts_with(&format!("GetProfile of ada at {}\n\nsequential  waited ", gateway.url)));
    assert_eq!(done.stdout.matches("trace 0af7651916cd43dd8448eb211c80319c").count(), 3);
    assert!(!done.stdout.contains('\u{1b}'), "no colours in a pipe");
    assert_eq!(gateway.requests(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn dependent_calls_are_recognized() {
    let gateway = FakeGateway::start(delays(100, 100)).await;
    let done = fanout(&gateway.url, &["compare", "--method", "get-home-country", "--ascii"]).await;
    let sentence = "joining saves nothing: 200 ms in turn, 200 ms together; the calls depend on one";
    assert!(done.stdout.contains(sentence), "{}", done.stdout);
    assert!(done.stdout.is_ascii() && done.stdout.contains("#####"), "{}", done.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn json_has_the_exact_figures() {
    let gateway = FakeGateway::start(delays(200, 100)).await;
    let done = fanout(&gateway.url, &["compare", "--json", "--strategy", "spawned,sequential,spawned"]).await;
    let document = json(&done);
    let [spawned, sequential] = &document["runs"].as_array().unwrap()[..] else { panic!("{document}") };
    assert_eq!((&spawned["strategy"], &sequential["strategy"]), (&"spawned".into(), &"sequential".into()));
    assert_eq!(spawned["report"]["wall_ms"], 200.0);
    assert_eq!(sequential["report"]["wall_ms"], 300.0);
    assert_eq!(sequential["report"]["avoidable_ms"], 100.0);
    assert_eq!(sequential["report"]["calls"][1]["start_ms"], 200.0);
    assert_eq!(sequential["code"], "OK");
    assert!(sequential["waited_ms"].as_f64().unwrap() >= 300.0, "{document}");
    assert_eq!(document["verdict"], "joining saves 100 ms: 300 ms in turn, 200 ms together");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_shown_with_the_report_in_its_trailer() {
    let gateway = FakeGateway::start(delays(100, 200)).await;
    let done = fanout(&gateway.url, &["compare", "--user", "nobody"]).await;
    assert_eq!(done.code, Some(1));
    assert!(done.stdout.contains("  ✗ NOT_FOUND: no user \"nobody\"\n"), "{}", done.stdout);
    assert!(done.stdout.contains("✗ NOT_FOUND\n") && done.stdout.contains("– skipped"), "{}", done.stdout);
    assert!(done.stdout.contains("◌ cancelled") && done.stdout.contains('▒'), "{}", done.stdout);

    let document = json(&fanout(&gateway.url, &["compare", "--user", "nobody", "--json"]).await);
    assert_eq!(document["runs"][0]["code"], "NOT_FOUND");
    assert_eq!(document["runs"][0]["report"]["calls"][1]["state"], "skipped");
    assert_eq!(document["runs"][0]["report"]["calls"][1]["duration_ms"], serde_json::Value::Null);
    assert_eq!(document["runs"][1]["report"]["calls"][0]["message"], "no user \"nobody\"");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partial_reply_is_not_a_failure() {
    let gateway = FakeGateway::start(delays(10, 20)).await;
    let done = fanout(&gateway.url, &["compare", "--user", "nobody", "--failure-policy", "best-effort"]).await;
    assert_eq!(done.code, Some(0), "{}", done.stdout);
    assert!(done.stdout.contains("  user: NOT_FOUND: no user"));
    assert!(done.stdout.contains("1 ok, 1 failed"), "{}", done.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn baggage_and_deadline_arrive() {
    let gateway = FakeGateway::start(Behaviour::default()).await;
    let flags = ["compare", "--strategy", "concurrent", "--delay", "user=500ms,country=1s", "--baggage", "a=b,c"];
    fanout(&gateway.url, &[&flags[..], &["--timeout", "7s"]].concat()).await;
    assert_eq!(gateway.headers("baggage"), ["user.delay=500ms,country.delay=1s,a=b%2Cc"]);
    assert_eq!(gateway.headers("grpc-timeout"), ["7000000u"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn colours_are_used_if_requested() {
    let gateway = FakeGateway::start(delays(10, 10)).await;
    let done = fanout(&gateway.url, &["compare", "--color", "always", "--strategy", "concurrent"]).await;
    assert!(done.stdout.contains("\u{1b}[36m█"), "{}", done.stdout);
    let done = fanout(&gateway.url, &["compare", "--color", "always", "--json"]).await;
    assert!(!done.stdout.contains('\u{1b}'), "{}", done.stdout);
}
