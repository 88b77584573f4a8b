//! `fanout view`, alone and beside the services of `fanout up`.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// Longer than anything here takes.
const TIMEOUT: Duration = Duration::from_mins(1);

/// A running `fanout`. It is stopped when this is dropped.
struct Running {
    process: Child,
    page: String,
    _data: tempfile::TempDir,
}

// === impl Running ===

impl Running {
    /// Starts everything on free ports, with backends that reply after this delay.
    fn up(delay: &str) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_fanout"));
        command.args(["up", "--json", "--any-port", "--delay", delay, "--data-dir"]).arg(data.path());
        for name in ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_TRACES_EXPORTER"] {
            command.env_remove(name);
        }
        Self::start(command, data, |line| {
            let line: Value = serde_json::from_str(line).unwrap();
            let url = line["view"]["url"].as_str().filter(|_| line["message"] == "up")?;
            Some(url.strip_prefix("http://").unwrap().to_owned())
        })
    }

    fn view() -> Self {
        Self::view_with(&[])
    }

    fn view_with(args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fanout"));
        let free = "127.0.0.1:0";
        command.args(["view", "--listen", free, "--otlp-grpc", free, "--otlp-http", free]).args(args);
        command.env_remove("FANOUT_GATEWAY");
        let first = |line: &str| Some(line.strip_prefix("open http://").expect("the first line says it").to_owned());
        Self::start(command, tempfile::tempdir().unwrap(), first)
    }

    fn start(mut command: Command, data: tempfile::TempDir, page: impl Fn(&str) -> Option<String>) -> Self {
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
        let page = lines.by_ref().find_map(|line| page(&line)).expect("it says where the page is");
        // The log has to be read to its end: a full pipe would stop the services.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, page, _data: data }
    }

    fn request(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        self.request_of(&self.page, method, path, body)
    }

    /// Sends a request for this host.
    fn request_of(&self, host: &str, method: &str, path: &str, body: &str) -> (u16, Value) {
        let mut stream = TcpStream::connect(&self.page).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        let length = body.len();
        let head = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {length}\r\nconnection: close");
        stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap())
    }

    #[track_caller]
    fn get(&self, path: &str) -> Value {
        let (status, body) = self.request("GET", path, "");
        assert_eq!(status, 200, "{body}");
        body
    }

    #[track_caller]
    fn post(&self, path: &str, body: &Value) -> Value {
        let (status, reply) = self.request("POST", path, &body.to_string());
        assert_eq!(status, 200, "{reply}");
        reply
    }

    /// Stops it, and returns its exit code.
    fn stop(&mut self) -> Option<i32> {
        let pid = Pid::from_raw(i32::try_from(self.process.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        self.process.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.process.try_wait() {
            self.stop();
        }
    }
}

fn ms(nanos: &Value) -> u64 {
    nanos.as_u64().unwrap() / 1_000_000
}

/// Returns whether the calls of a run ran at the same time.
fn overlaps(run: &Value) -> bool {
    let [first, second] = run["calls"].as_array().unwrap().as_slice() else { panic!("{run}") };
    let number = |call: &Value, key: &str| call[key].as_u64().unwrap();
    let end = |call| number(call, "start_offset") + number(call, "duration");
    number(first, "start_offset") < end(second) && number(second, "start_offset") < end(first)
}

#[test]
fn browsers_reach_it_by_the_names_that_it_is_told() {
    let view = Running::view_with(&["--host", "Viewer.Example"]);
    let port = view.page.split_once(':').unwrap().1.to_owned();
    for (name, status) in [("viewer.example", 200), ("localhost", 200), ("other.example", 403)] {
        let (given, reply) = view.request_of(&format!("{name}:{port}"), "GET", "/api/status", "");
        assert_eq!(given, status, "{name}: {reply}");
    }
}

#[test]
fn alone_it_says_where_to_look_and_ends_when_told() {
    let mut view = Running::view();
    assert_eq!(view.get("/api/status")["gateway"], Value::Null);
    assert_eq!(view.request("GET", "/api/gateway", "").0, 404);
    assert_eq!(view.stop(), Some(0));
}

#[test]
fn a_request_of_the_panel_is_a_trace_that_says_the_same() {
    let mut up = Running::up("300ms");
    let gateway = up.get("/api/gateway");
    assert_eq!((&gateway["backends"], &gateway["strategies"][0]), (&json!(["user", "country"]), &json!("sequential")));

    let compared = up.post("/api/compare", &json!({"user": "ada", "policy": "fail_fast", "deadline": "20s"}));
    let [sequential, concurrent, spawned] = compared["results"].as_array().unwrap().as_slice() else {
        panic!("{compared}")
    };
    // How long they take in all depends on the machine; who waits for whom does not.
    assert!(ms(&sequential["wall"]) >= 600 && !overlaps(sequential), "{sequential}");
    assert!(ms(&concurrent["wall"]) >= 300 && overlaps(concurrent), "{concurrent}");
    assert!(ms(&sequential["avoidable"]) >= 290 && sequential["saved"] == 0, "{sequential}");
    // All that could still be saved is the time until the second one began, which a busy machine makes longer.
    let second_began = concurrent["calls"][1]["start_offset"].as_u64();
    assert!(ms(&concurrent["saved"]) > 0 && concurrent["avoidable"].as_u64() <= second_began, "{concurrent}");
    assert_eq!((&spawned["strategy"], &spawned["ok"]), (&json!("spawned"), &json!(true)));
    let command = compared["commands"]["fanout"].as_str().unwrap();
    assert!(command.contains("compare --user ada --failure-policy fail-fast --timeout 20s --gateway"), "{command}");
    assert!(compared["commands"]["grpcurl"].as_str().unwrap().starts_with("grpcurl -plaintext"), "{compared}");

    // Its spans come from three processes, a moment later.
    let path = format!("/api/traces/{}", sequential["trace_id"].as_str().unwrap());
    let begun = Instant::now();
    let trace = loop {
        let (status, trace) = up.request("GET", &path, "");
        let has_all = trace["trace"]["services"].as_array().is_some_and(|services| services.len() == 3);
        if status == 200 && has_all && trace["trace"]["complete"] == true {
            break trace;
        }
        assert!(begun.elapsed() < TIMEOUT, "{trace}");
        std::thread::yield_now();
    };
    assert_eq!(trace["trace"]["root"]["service"], "gateway");
    let reported = ms(&sequential["avoidable"]);
    let analysed = ms(&trace["trace"]["avoidable"]);
    // The gateway's report ends a moment before its spans do.
    assert!(reported.abs_diff(analysed) < 100, "the gateway says {reported} ms, its trace {analysed} ms: {trace}");
    assert_eq!(up.stop(), Some(0));
}

#[test]
fn the_questions_are_answered_by_running_them_and_bad_fields_are_named() {
    let up = Running::up("0");
    let answer = up.post("/api/questions/2", &json!({}));
    assert_eq!((&answer["holds"], &answer["expected"]["duration"]), (&json!(true), &json!(1_000_000_000)), "{answer}");
    let run = up.post("/api/run", &json!({"callers": 3, "backends": {"user": {"error_rate": 1.0}}}));
    assert_eq!(run["runs"].as_array().unwrap().len(), 3);
    assert_eq!(
        (&run["runs"][0]["ok"], &run["runs"][0]["calls"][0]["state"]),
        (&json!(false), &json!("failed")),
        "{run}"
    );
    for (path, body, status, field) in [
        ("/api/run", json!({"callers": 101}), 400, Some("callers")),
        ("/api/run", json!({"backends": {"user": {"delay": "2m"}}}), 400, Some("backends")),
        ("/api/questions/5", json!({}), 404, None),
    ] {
        let (given, reply) = up.request("POST", path, &body.to_string());
        assert_eq!((given, reply["error"]["field"].as_str()), (status, field), "{reply}");
    }
}
