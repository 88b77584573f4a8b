//! On a terminal of 80 and of 120 columns.

use std::{fs, path::Path};

use fanout_cli::services::SERVICES;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tonic::Code;

use crate::{
    client::{Client, ENDLESS, is_running},
    screen::{CTRL_C, Ended, Screen},
};

/// The last line of the banner.
const BANNER_END: &str = "Ctrl-C stops them all.";

/// A `fanout up` on a terminal.
struct Up {
    screen: Screen,
    /// What was shown when all services were up.
    banner: Vec<String>,
    _data: TempDir,
}

impl Up {
    async fn start(columns: u16, args: &[&str]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().to_str().unwrap();
        let mut screen = Screen::start(columns, &[&["up", "--any-port", "--data-dir", path], args].concat());
        let banner = screen.wait_for_text(BANNER_END).await;
        Self { screen, banner, _data: data }
    }

    /// Returns the word of the banner that comes after `before` in the line of a service.
    fn word_of(&self, service: &str) -> Vec<&str> {
        let line = self.banner.iter().find(|line| line.trim_start().starts_with(service)).expect(service);
        line.split_whitespace().collect()
    }

    async fn gateway(&self) -> Client {
        Client::connect(self.word_of("gateway")[1]).await
    }

    fn pids(&self) -> Vec<u32> {
        let pid = |name| self.word_of(name).last().unwrap().parse().unwrap();
        SERVICES.iter().map(|service| pid(service.name)).collect()
    }

    async fn stop(mut self) -> Ended {
        self.screen.type_keys(CTRL_C).await;
        self.screen.end().await
    }
}

/// Returns whether the line is one of the short log, such as `03:10:40Z  GetProfile  OK`.
fn is_log_line(line: &str) -> bool {
    let time = line.split_once("Z  ").map_or("", |(time, _)| time);
    time.len() == 8 && time.bytes().all(|byte| byte.is_ascii_digit() || byte == b':')
}

/// Returns the only line that contains the text.
#[track_caller]
fn line_with<'a>(lines: &'a [String], text: &str) -> &'a str {
    let found: Vec<_> = lines.iter().filter(|line| line.contains(text)).collect();
    assert_eq!(found.len(), 1, "{text}: {}", lines.join("\n"));
    found[0]
}

#[tokio::test]
async fn the_banner_is_whole_at_80_columns() {
    banner_is_whole(80).await;
}

#[tokio::test]
async fn the_banner_is_whole_at_120_columns() {
    banner_is_whole(120).await;
}

async fn banner_is_whole(columns: u16) {
    let up = Up::start(columns, &["--delay", "p50=20ms,p99=200ms"]).await;
    assert!(!up.banner.iter().any(|line| line.contains("starting")), "the live line is gone: {:#?}", up.banner);
    let first = &up.banner[0];
    let page = first.split_once(": open http://127.0.0.1:").expect("the first line says where the page is");
    assert!(page.0.starts_with("fanout is up after ") && page.1.parse::<u16>().is_ok(), "{first}");
    // Every line begins as the banner has it: none is the rest of a line that was too wide.
    for line in &up.banner {
        let starts = ["fanout is up after ", "  ", "Try it in another terminal", BANNER_END];
        assert!(line.is_empty() || starts.iter().any(|start| line.starts_with(start)), "{line:?} in {:#?}", up.banner);
    }
    for service in SERVICES {
        assert!(up.word_of(service.name)[1].starts_with("127.0.0.1:"));
    }
    assert!(line_with(&up.banner, "user-service").contains("answers after p50=20ms,p99=200ms"));
    let data = Path::new(up.word_of("data")[1]);
    assert!(data.ends_with("users.db") && data.exists(), "{}", data.display());

    let text = up.banner.join("\n");
    for user in fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../user-service/src/seed.sql"))
        .unwrap()
        .lines()
        .filter_map(|line| line.trim().strip_prefix("('")?.split('\'').next())
    {
        assert!(text.split_whitespace().any(|word| word == user), "{user} in {text}");
    }
    // A command that continues in the next line is one when the shell has read it.
    let commands = text.replace(" \\\n   ", "");
    let gateway = up.word_of("gateway")[1];
    let port = gateway.trim_start_matches("127.0.0.1:");
    for command in [
        format!("fanout compare --gateway {port}"),
        format!("fanout call profile ada --gateway {port}"),
        format!(
            r#"grpcurl -plaintext -d '{{"user_id": "ada"}}' {gateway} fanout.gateway.v1.GatewayService/GetProfile"#
        ),
    ] {
        assert!(commands.lines().any(|line| line.ends_with(&command)), "{command} in {commands}");
    }
    let ended = up.stop().await;
    assert_eq!(ended.code, Some(0));
}

#[tokio::test]
async fn each_request_is_a_line_and_nothing_else_is() {
    for columns in [80, 120] {
        let mut up = Up::start(columns, &["--delay", "5ms"]).await;
        let gateway = up.gateway().await;
        assert_eq!(gateway.get_profile("ada").await, Code::Ok);
        assert_eq!(gateway.get_profile("nobody").await, Code::NotFound);
        up.screen.wait_for_text("NOT_FOUND").await;
        let banner = up.banner.len();
        let ended = up.stop().await;
        let log: Vec<_> = ended.lines[banner..].iter().filter(|line| !line.is_empty()).collect();
        let [found, missing, stopped] = &log[..] else { panic!("two requests and the end: {log:#?}") };
        assert!(is_log_line(found) && is_log_line(missing), "{log:#?}");
        let words: Vec<_> = found.split_whitespace().collect();
        assert_eq!((words[1], words[2], words[words.len() - 3]), ("GetProfile", "OK", "saved"), "{found}");
        assert!(missing.contains("  NOT_FOUND  ") && !missing.contains("saved"), "{missing}");
        let column = |line: &str, text| line.find(text).unwrap();
        assert_eq!(column(found, "OK"), column(missing, "NOT_FOUND"), "the codes are aligned: {log:#?}");
        assert_eq!((stopped.as_str(), ended.code), ("stopped", Some(0)));
    }
}

#[tokio::test]
async fn ctrl_c_says_what_it_waits_for() {
    for columns in [80, 120] {
        let mut up = Up::start(columns, &["--delay", ENDLESS]).await;
        let pids = up.pids();
        let call = up.gateway().await.start_stream_users().await;
        up.screen.type_keys(CTRL_C).await;
        let lines = up.screen.wait_for_text("waiting … ").await;
        let stopping = "stopping: 1 request in flight, at most 10 s; Ctrl-C again ends it now";
        // Without the "^C" that the terminal shows where it is typed.
        assert!(lines.iter().any(|line| line == stopping), "{lines:#?}");
        let live = line_with(&lines, "waiting … ");
        assert!(live.ends_with(" of 10 s, 1 request in flight"), "{live}");

        drop(call);
        let ended = up.screen.end().await;
        assert_eq!((ended.code, ended.lines.last().map(String::as_str)), (Some(0), Some("stopped")));
        line_with(&ended.lines, "CANCELLED");
        for gone in ["waiting", "^C"] {
            assert!(!ended.text().contains(gone), "{gone} in {}", ended.text());
        }
        assert!(!pids.iter().copied().any(is_running));
    }
}

#[tokio::test]
async fn a_second_ctrl_c_ends_it_at_once() {
    for columns in [80, 120] {
        let mut up = Up::start(columns, &["--delay", ENDLESS, "--drain", "10m"]).await;
        let pids = up.pids();
        let gateway = up.gateway().await;
        let _calls = [gateway.start_stream_users().await, gateway.start_stream_users().await];
        up.screen.type_keys(CTRL_C).await;
        up.screen.wait_for_text("stopping: 2 requests in flight, at most 10 min; Ctrl-C again ends it now").await;
        let ended = up.stop().await;
        assert_eq!(ended.code, Some(75), "{}", ended.text());
        assert_eq!(ended.lines.last().unwrap(), "fanout: stopped at once: 2 requests were cut off");
        for gone in ["waiting", "^C"] {
            assert!(!ended.text().contains(gone), "{gone} in {}", ended.text());
        }
        assert!(!pids.iter().copied().any(is_running));
    }
}

#[tokio::test]
async fn the_drain_has_an_end() {
    let mut up = Up::start(80, &["--delay", ENDLESS, "--drain", "200ms"]).await;
    let _call = up.gateway().await.start_stream_users().await;
    up.screen.type_keys(CTRL_C).await;
    let ended = up.screen.end().await;
    assert_eq!(ended.code, Some(75), "{}", ended.text());
    assert_eq!(ended.lines.last().unwrap(), "fanout: stopped after the drain: 1 request was cut off");
}

#[tokio::test]
async fn many_requests_do_not_flood_the_terminal() {
    const REQUESTS: u64 = 300;
    let mut up = Up::start(80, &[]).await;
    let gateway = up.gateway().await;
    let calls = (0..REQUESTS).map(|_| {
        let gateway = gateway.clone();
        async move { gateway.get_profile("ada").await }
    });
    assert!(futures::future::join_all(calls).await.iter().all(|code| *code == Code::Ok));
    up.screen.type_keys(CTRL_C).await;
    let ended = up.screen.end().await;
    let log: Vec<_> = ended.lines.iter().filter(|line| is_log_line(line)).collect();
    let counted = log.iter().filter(|line| line.contains("in this second")).map(|line| {
        let count = line.split_whitespace().nth(2).unwrap().replace(',', "").parse::<u64>().unwrap();
        assert!(line.ends_with(&format!(": {count} OK")), "{line}");
        count
    });
    let counted = counted.sum::<u64>();
    let shown = log.iter().filter(|line| line.contains("saved")).count();
    assert_eq!(counted + u64::try_from(shown).unwrap(), REQUESTS, "{}", ended.text());
    assert!(counted > 0, "{}", ended.text());
}

#[tokio::test]
async fn a_service_that_cannot_start_has_its_last_words() {
    let data = tempfile::tempdir().unwrap();
    fs::write(data.path().join("users.db"), "no database, but as long as the header of one: ".repeat(9)).unwrap();
    let path = data.path().to_str().unwrap();
    let ended = Screen::start(120, &["up", "--any-port", "--data-dir", path]).end().await;
    assert_eq!(ended.code, Some(1), "{}", ended.text());
    let text = ended.text().replace('\n', "");
    let (words, end) = text.split_once("fanout: the user-service (process ").expect(&text);
    assert!(words.starts_with("user-service: cannot start: ") && words.contains("not a database"), "{text}");
    assert!(end.ends_with(") ended with exit code 1; the others are stopped too"), "{text}");
}

#[tokio::test]
async fn a_killed_service_is_named_and_nothing_is_waited_for() {
    let up = Up::start(120, &[]).await;
    let pid: u32 = up.word_of("user-service").last().unwrap().parse().unwrap();
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::KILL).unwrap();
    let banner = up.banner.len();
    let ended = up.screen.end().await;
    let rest: Vec<_> = ended.lines[banner..].iter().filter(|line| !line.is_empty()).collect();
    let end = format!(
        "fanout: the user-service (process {pid}) was killed by signal 9 (SIGKILL); the others are stopped too"
    );
    assert_eq!((ended.code, rest), (Some(1), vec![&end]));
}

#[tokio::test]
async fn a_closed_terminal_stops_all() {
    let up = Up::start(80, &[]).await;
    let pids = up.pids();
    assert!(pids.iter().copied().all(is_running));
    kill_process(Pid::from_raw(i32::try_from(up.screen.pid()).unwrap()).unwrap(), Signal::HUP).unwrap();
    let ended = up.screen.end().await;
    assert_eq!((ended.code, ended.lines.last().map(String::as_str)), (Some(0), Some("stopped")));
    assert!(!pids.iter().copied().any(is_running));
}

#[tokio::test]
async fn a_locale_without_utf_8_gets_ascii() {
    let data = tempfile::tempdir().unwrap();
    let args = ["up", "--any-port", "--delay", ENDLESS, "--data-dir", data.path().to_str().unwrap()];
    let mut screen = Screen::start_with(80, 50, &args, &[("LC_ALL", "C")]);
    let banner = screen.wait_for_text(BANNER_END).await;
    let mut up = Up { screen, banner, _data: data };
    let call = up.gateway().await.start_stream_users().await;
    up.screen.type_keys(CTRL_C).await;
    let lines = up.screen.wait_for_text("waiting ... ").await;
    assert!(lines.iter().all(|line| line.is_ascii()), "{lines:#?}");
    drop(call);
    assert_eq!(up.screen.end().await.code, Some(0));
}
