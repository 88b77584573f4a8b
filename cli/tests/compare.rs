//! `fanout compare` against a gateway that reports exact figures.

mod fake_gateway;

use std::{process::Stdio, time::Duration};

use fake_gateway::{Behaviour, FakeGateway, command, fanout, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};

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

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn in_a_pipe_each_strategy_is_printed_when_it_is_done() {
    let gateway = FakeGateway::start(Behaviour { held: true, ..delays(300, 200) }).await;
    let mut command = tokio::process::Command::from(command(&gateway.url, &["compare"]));
    let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut text = String::new();
    for (number, strategy) in (1..).zip(["sequential", "concurrent", "spawned"]) {
        gateway.wait_for_requests(number).await;
        gateway.release();
        // The next request is held, and so is everything that is printed after it.
        loop {
            let line = lines.next_line().await.unwrap().unwrap();
            text.push_str(&line);
            text.push('\n');
            if line.starts_with("  country") {
                break;
            }
        }
        assert_eq!(text.matches(&format!("\n{strategy}  waited ")).count(), 1, "{text}");
    }
    while let Some(line) = lines.next_line().await.unwrap() {
        text.push_str(&line);
        text.push('\n');
    }
    // One axis for all, as on a terminal: none is longer than the first.
    assert_eq!(text.lines().filter(|line| line.contains('┬')).count(), 1, "{text}");
    assert!(text.ends_with("a task for each call changes nothing: 300 ms, 300 ms in one task\n"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_difference_of_less_than_a_millisecond_is_none() {
    let micros = |user, country| Behaviour {
        user: Duration::from_micros(user),
        country: Duration::from_micros(country),
        ..Behaviour::default()
    };
    let gateway = FakeGateway::start(micros(40_000, 900)).await;
    let done = fanout(&gateway.url, &["compare"]).await;
    let row = |strategy: &str| {
        let rows = done.stdout.lines().skip_while(|line| !line.starts_with("strategy"));
        let row = rows.into_iter().find(|line| line.starts_with(strategy)).unwrap();
        row.split("   ").map(|cell| cell.trim().to_owned()).filter(|cell| !cell.is_empty()).collect::<Vec<_>>()
    };
    // Strategy, waited, wall, total, saved, avoidable, calls.
    assert_eq!(row("sequential")[2..], ["40.9 ms", "40.9 ms", "0 s", "0 s", "2 ok"], "{}", done.stdout);
    assert_eq!(row("concurrent")[2..], ["40.0 ms", "40.9 ms", "0 s", "0 s", "2 ok"], "{}", done.stdout);
    let document = json(&fanout(&gateway.url, &["compare", "--json"]).await);
    assert_eq!(document["runs"][0]["report"]["avoidable_ms"], 0.9);
    assert_eq!(document["runs"][1]["report"]["saved_ms"], 0.9);
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
