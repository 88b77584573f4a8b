//! Through a pipe: no live line, no escape sequences, and JSON for programs.

use std::{collections::HashMap, process::Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};
use tonic::Code;

use crate::{
    client::{Client, ENDLESS},
    screen::TIMEOUT,
};

/// A service of a `fanout up`.
struct Running {
    address: String,
    pid: u32,
}

/// A `fanout` whose output is a pipe. It is killed when this is dropped.
struct Piped {
    process: Child,
    stdout: Lines<BufReader<ChildStdout>>,
}

impl Piped {
    fn start(args: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_fanout"))
            .args(args)
            .env("LC_ALL", "C.UTF-8")
            .env_remove("CLICOLOR_FORCE")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, stdout }
    }

    /// Starts `fanout up` on free ports.
    fn up(args: &[&str]) -> (Self, TempDir) {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().to_str().unwrap();
        (Self::start(&[&["up", "--any-port", "--data-dir", path], args].concat()), data)
    }

    fn signal(&self, signal: Signal) {
        self::signal(self.process.id().unwrap(), signal);
    }

    /// Reads lines until one contains the text, and returns all of them.
    async fn read_until(&mut self, text: &str) -> Vec<String> {
        let mut lines = Vec::new();
        let found = async {
            while let Some(line) = self.stdout.next_line().await.unwrap() {
                lines.push(line);
                if lines.last().unwrap().contains(text) {
                    return true;
                }
            }
            false
        };
        let found = timeout(TIMEOUT, found).await.unwrap_or(false);
        assert!(found, "{text} in {}", lines.join("\n"));
        lines
    }

    /// Reads until the line that reports that all services are up, and returns where they are.
    async fn read_until_up(&mut self) -> HashMap<String, Running> {
        let line = self.read_until(r#""message":"up""#).await.pop().unwrap();
        let up: Value = serde_json::from_str(&line).unwrap();
        let running = up["services"].as_array().unwrap().iter().map(|running| {
            let text = |key: &str| running[key].as_str().unwrap().to_owned();
            let pid = u32::try_from(running["pid"].as_u64().unwrap()).unwrap();
            (text("service"), Running { address: text("address"), pid })
        });
        running.collect()
    }

    /// Reads everything until the end, and returns the exit code, the lines and what is on standard error.
    async fn end(mut self) -> (Option<i32>, Vec<String>, String) {
        let ended = async {
            let (mut lines, mut errors) = (Vec::new(), String::new());
            while let Some(line) = self.stdout.next_line().await.unwrap() {
                lines.push(line);
            }
            self.process.stderr.take().unwrap().read_to_string(&mut errors).await.unwrap();
            (self.process.wait().await.unwrap().code(), lines, errors)
        };
        timeout(TIMEOUT, ended).await.expect("it ends")
    }
}

fn pid(id: u32) -> Pid {
    Pid::from_raw(i32::try_from(id).unwrap()).unwrap()
}

fn signal(id: u32, signal: Signal) {
    kill_process(pid(id), signal).unwrap();
}

/// Returns the address in the banner's line of the gateway.
fn gateway_of(lines: &[String]) -> &str {
    lines.iter().find_map(|line| line.trim_start().strip_prefix("gateway ")?.split_whitespace().next()).unwrap()
}

#[tokio::test]
async fn there_are_no_escape_sequences_and_no_live_line() {
    let (mut up, _data) = Piped::up(&["--delay", ENDLESS]);
    let mut lines = up.read_until("Ctrl-C stops them all.").await;
    let gateway = Client::connect(gateway_of(&lines)).await;
    let call = gateway.start_stream_users().await;
    up.signal(Signal::TERM);
    lines.extend(up.read_until("stopping: 1 request in flight").await);
    drop(call);
    let (code, rest, errors) = up.end().await;
    lines.extend(rest);
    let text = lines.join("\n");
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{text}");
    assert!(text.ends_with("\nstopped"), "{text}");
    for absent in ["\u{1b}", "\r", "starting", "waiting"] {
        assert!(!text.contains(absent), "{absent:?} in {text}");
    }
}

#[tokio::test]
async fn a_filter_shows_every_line_as_the_service_wrote_it() {
    let (mut up, _data) = Piped::up(&["--delay", "1ms", "--log", "info"]);
    let lines = up.read_until("Ctrl-C stops them all.").await;
    assert!(lines.iter().any(|line| line.ends_with("INFO country-service: serving")), "{lines:#?}");
    assert_eq!(Client::connect(gateway_of(&lines)).await.get_profile("ada").await, Code::Ok);
    let lines = up.read_until("gateway: request finished").await;
    let line = lines.last().unwrap();
    assert!(line.contains(" method=fanout.gateway.v1.GatewayService/GetProfile code=OK duration_ms="), "{line}");
    assert!(line.contains(" saved_ms=") && line.contains(" trace_id="), "{line}");
    up.signal(Signal::INT);
    let (code, lines, errors) = up.end().await;
    assert_eq!((code, errors.as_str(), lines.last().unwrap().as_str()), (Some(0), "", "stopped"));
    assert!(!lines.iter().any(|line| line.starts_with("stopping")), "there is nothing to wait for: {lines:#?}");
}

#[tokio::test]
async fn json_is_json_to_the_end() {
    let (mut up, _data) = Piped::up(&["--json", "--delay", "1ms"]);
    let gateway = up.read_until_up().await.remove("gateway").unwrap();
    assert_eq!(Client::connect(&gateway.address).await.get_profile("ada").await, Code::Ok);
    up.signal(Signal::TERM);
    let (code, lines, errors) = up.end().await;
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    let log: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).expect(line)).collect();
    for service in ["gateway", "user-service", "country-service"] {
        let of = |line: &&Value| line["service"] == service && line["message"] == "request finished";
        assert!(log.iter().any(|line| of(&line) && line["code"] == "OK"), "{service}: {lines:#?}");
        assert!(log.iter().any(|line| line["service"] == service && line["message"] == "draining"), "{service}");
    }
    let request =
        log.iter().find(|line| line["service"] == "gateway" && line["message"] == "request finished").unwrap();
    assert!(request["saved_ms"].is_f64() && request["duration_ms"].is_u64(), "{request}");
    let backend = log.iter().find(|line| line["service"] == "user-service" && line["code"] == "OK").unwrap();
    assert!(backend.get("saved_ms").is_none(), "{backend}");
}

#[tokio::test]
async fn output_that_nothing_reads_stops_no_request() {
    const REQUESTS: &str = "2000";
    let (mut up, _data) = Piped::up(&["--json", "--no-view", "--delay", "0"]);
    let url = format!("http://{}", up.read_until_up().await["gateway"].address);
    // Their lines are more than all buffers hold.
    let load = Piped::start(&["load", "--json", "--gateway", &url, "--callers", "20", "--requests", REQUESTS]);
    let (code, report, errors) = load.end().await;
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{report:#?}");
    let report: Value = serde_json::from_str(&report.join("\n")).unwrap();
    assert_eq!(report["codes"]["OK"].to_string(), REQUESTS, "{report:#}");
    up.signal(Signal::TERM);
    let (code, lines, _) = up.end().await;
    assert_eq!(code, Some(0));
    let lost = |line: &&String| line.contains("log lines are lost") && line.contains(r#""lines":"#);
    assert!(lines.iter().any(|line| lost(&line)), "{:#?}", &lines[lines.len().saturating_sub(20)..]);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_killed_up_leaves_no_service_behind() {
    use rustix::{
        event::{PollFd, PollFlags, poll},
        process::{PidfdFlags, pidfd_open},
    };

    let (mut up, _data) = Piped::up(&["--json", "--delay", ENDLESS]);
    let running = up.read_until_up().await;
    let open = |service: &Running| pidfd_open(pid(service.pid), PidfdFlags::empty()).unwrap();
    let processes: Vec<_> = running.values().map(open).collect();
    up.signal(Signal::KILL);
    // Nothing reads their pipes any more, which must not keep them.
    for process in &processes {
        let ended = poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&TIMEOUT.try_into().unwrap())).unwrap();
        assert_eq!(ended, 1, "the service ends");
    }
}

#[tokio::test]
async fn a_second_sigterm_ends_a_service_at_once() {
    let (mut up, _data) = Piped::up(&["--json", "--delay", ENDLESS, "--drain", "10m"]);
    let gateway = up.read_until_up().await.remove("gateway").unwrap();
    let call = Client::connect(&gateway.address).await.start_stream_users().await;
    signal(gateway.pid, Signal::TERM);
    let draining: Value = serde_json::from_str(&up.read_until(r#""message":"draining""#).await.pop().unwrap()).unwrap();
    assert_eq!((&draining["drain"], &draining["in_flight"]), (&json!("10m"), &json!(1)));
    signal(gateway.pid, Signal::TERM);
    let (code, lines, errors) = up.end().await;
    assert_eq!(code, Some(1), "{errors}");
    let ended =
        format!("fanout: the gateway (process {}) ended with exit code 75; the others are stopped too\n", gateway.pid);
    assert_eq!(errors, ended);
    let warning = |line: &&String| line.contains("requests in flight are cut off") && line.contains(r#""in_flight":1"#);
    assert!(lines.iter().any(|line| warning(&line)), "{lines:#?}");
    drop(call);
}

#[tokio::test]
async fn a_suspended_up_stops_no_request() {
    let (mut up, _data) = Piped::up(&["--delay", "0"]);
    let lines = up.read_until("Ctrl-C stops them all.").await;
    let url = format!("http://{}", gateway_of(&lines));
    // As Ctrl-Z does.
    up.signal(Signal::STOP);
    // Their lines are more than a pipe holds.
    let load = Piped::start(&["load", "--json", "--gateway", &url, "--callers", "20", "--requests", "1000"]);
    let (code, report, errors) = load.end().await;
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{report:#?}");
    up.signal(Signal::CONT);
    up.signal(Signal::TERM);
    let (code, lines, errors) = up.end().await;
    assert_eq!((code, errors.as_str(), lines.last().unwrap().as_str()), (Some(0), "", "stopped"));
}
