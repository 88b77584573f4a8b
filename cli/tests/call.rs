//! `fanout call`: what the terminal shows, and what a program reads.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

mod fleet;
mod screen;

use std::process::{Command, Output};

use fleet::Fleet;
use screen::{Ended, Screen};
use serde_json::{Deserializer, Value, json};

/// Runs `fanout call` in a terminal until it ends.
async fn show(fleet: &Fleet, columns: u16, args: &[&str]) -> Ended {
    let args = [&["call", "--gateway", &fleet.gateway], args].concat();
    Screen::start(columns, &args).end().await
}

/// Runs `fanout call --json` in a pipe until it ends, and returns the documents that it printed.
fn documents(fleet: &Fleet, args: &[&str]) -> (Option<i32>, Vec<Value>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fanout"));
    let Output { status, stdout, .. } =
        command.args(["call", "--json", "--gateway", &fleet.gateway]).args(args).output().unwrap();
    (status.code(), Deserializer::from_slice(&stdout).into_iter().map(Result::unwrap).collect())
}

/// Returns the lines between two that start with these texts, without the first.
fn between<'a>(ended: &'a Ended, start: &str, end: &str) -> Vec<&'a str> {
    let lines = ended.lines.iter().map(String::as_str).skip_while(|line| !line.starts_with(start)).skip(1);
    lines.take_while(|line| !line.starts_with(end)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_is_drawn_and_its_reply_is_cut_to_what_fits() {
    let fleet = Fleet::start("50ms");
    for columns in [80, 120] {
        let ended = show(&fleet, columns, &["profile", "ada"]).await;
        assert_eq!((ended.code, ended.shows_cursor), (Some(0), true), "{}", ended.text());
        assert_eq!(ended.lines[0], format!("GetProfile of ada at {}", fleet.gateway));
        assert!(ended.lines[2].starts_with("concurrent  waited "), "{}", ended.text());
        for (line, call) in ended.lines[3..].iter().zip(["user", "country"]) {
            assert!(line.starts_with(&format!("  {call}")) && line.contains('█'), "{}", ended.text());
        }
        let reply = between(&ended, "{", "}");
        assert!(reply[0].starts_with(r#"  "user": {"#), "{}", ended.text());
        assert_eq!(reply.iter().filter(|line| line.contains(r#"{"code": "A"#)).count(), 5, "{}", ended.text());
        assert!(reply.contains(&"      … 244 more: --full shows them"), "{}", ended.text());
        assert!(ended.text().contains("joining saved "), "{}", ended.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_reply_is_shown_if_it_is_wanted() {
    let fleet = Fleet::start("0");
    let ended = show(&fleet, 80, &["profile", "ada", "--full"]).await;
    assert!(ended.text().contains(r#""name": "Zimbabwe""#) && !ended.text().contains('…'), "{}", ended.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_shown_as_they_come_and_a_missing_one_is_a_row() {
    let fleet = Fleet::start("0");
    let args = ["call", "users", "ada", "nobody", "--gateway", &fleet.gateway, "--delay", "user=60s"];
    let mut screen = Screen::start(80, &args);
    screen.wait_for("the wait", |lines| lines.iter().any(|line| line.starts_with("StreamUsers ... "))).await;
    drop(screen);

    let ended = show(&fleet, 80, &["users", "ada", "nobody", "grace"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.text());
    let rows = between(&ended, "StreamUsers of 3 users", "concurrent");
    let row = |id: &str| *rows.iter().find(|row| row.contains(&format!("  {id}"))).unwrap();
    assert!(row("ada").contains(r#"{"id": "ada", "displayName": "Ada Lovelace""#), "{}", ended.text());
    assert!(row("grace").contains("Grace Hopper"), "{}", ended.text());
    assert!(row("nobody").contains(r#"✗ user: no user has the id "nobody""#), "{}", ended.text());
    assert!(ended.lines.iter().all(|line| !line.contains("...")), "the wait is gone: {}", ended.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_drawn_and_ends_with_1() {
    let fleet = Fleet::start("0");
    let ended = show(&fleet, 80, &["profile", "nobody"]).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.text().contains(r#"✗ NOT_FOUND: user: no user has the id "nobody""#), "{}", ended.text());
    assert!(!ended.text().contains("nothing to compare"), "{}", ended.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_read_the_reply_as_protobuf_writes_it() {
    let fleet = Fleet::start("0");
    let (code, profile) = documents(&fleet, &["profile", "ada", "--strategy", "spawned"]);
    assert_eq!((code, profile.len()), (Some(0), 1));
    assert_eq!(profile[0]["user"]["displayName"], "Ada Lovelace");
    assert_eq!(profile[0]["countryList"]["countries"].as_array().unwrap().len(), 249);
    assert_eq!(profile[0]["report"]["strategy"], "STRATEGY_SPAWNED");

    let (code, users) = documents(&fleet, &["users", "ada", "nobody"]);
    assert_eq!((code, users.len()), (Some(0), 3));
    let of = |id: &str| users.iter().find(|user| user["userId"] == id).unwrap();
    assert_eq!(of("ada")["user"]["countryCode"], "GB");
    assert_eq!(of("nobody")["error"]["details"][0]["reason"], "USER_NOT_FOUND");
    assert_eq!(users[2]["report"]["calls"].as_array().unwrap().len(), 2);

    let (code, failure) = documents(&fleet, &["home-country", "nobody"]);
    let message = r#"user: no user has the id "nobody""#;
    assert_eq!((code, failure), (Some(1), vec![json!({ "error": { "code": "NOT_FOUND", "message": message } })]));
}
