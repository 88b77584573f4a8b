//! Attacks on what a process has beside its calls: its log, its metrics, its end.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use e2e::{TIMEOUT, backends::NO_REQUEST_LINES, binary, scrape, wait::within};
use rustix::process::{Pid, Signal, kill_process};
use service_kit::health;
use tokio::task::spawn_blocking;

use crate::{
    admin::{LIST_SERVICES, REFLECTION, WATCH},
    attacker::Attacker,
    frames::{INITIAL_WINDOW_SIZE, PREFACE, call, data, framed, headers, message, reset, settings, stream},
    honest::Honest,
    silence::{all_closed, open},
    target::{Needs, Target, against_all},
    victim::{Victim, Warned},
};

/// A process whose log the test reads itself, or does not read. It is killed when this is dropped.
struct Unread {
    child: Child,
    url: String,
    /// The rest of its log.
    log: Option<BufReader<ChildStdout>>,
    _needs: Needs,
}

impl Unread {
    fn start(target: Target, delay: &str, format: &str) -> Self {
        let needs = target.needs(delay, &[]);
        let mut command = Command::new(binary::fanout());
        command.args([target.name(), "--listen", "127.0.0.1:0", "--log-format", format]);
        // Without the flags that leave out the lines of requests.
        let args = needs.args.iter().filter(|arg| !NO_REQUEST_LINES.contains(&arg.as_str()));
        let mut child = command.args(args).stdout(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stdout.take().unwrap());
        let (mut url, mut line) = (String::new(), String::new());
        while !line.contains("serving") || url.is_empty() {
            line.clear();
            assert!(log.read_line(&mut line).unwrap() > 0, "{target:?} has ended");
            if let Some((_, port)) = line.split_once("127.0.0.1:").filter(|_| line.contains("listening")) {
                let port: String = port.chars().take_while(char::is_ascii_digit).collect();
                url = format!("http://127.0.0.1:{port}");
            }
        }
        Self { child, url, log: Some(log), _needs: needs }
    }

    fn terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Nothing reads standard output: no call waits for it, nor does the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_reads_the_log() {
    /// Their lines are several times as much as a pipe and the service's buffer hold.
    const CALLS: usize = 800;
    against_all(async |target| {
        let mut unread = Unread::start(target, "0", "json");
        let mut client = target.client(&unread.url).await;
        for number in 0..CALLS {
            client.call().await.unwrap_or_else(|status| panic!("{target:?}, call {number}: {status:?}"));
        }
        health::check(&unread.url, TIMEOUT).await.unwrap();
        let begun = Instant::now();
        unread.terminate();
        let (status, _unread) = spawn_blocking(move || (unread.child.wait().unwrap(), unread)).await.unwrap();
        assert_eq!(status.code(), Some(0), "{target:?}");
        assert!(begun.elapsed() < Duration::from_secs(9), "{target:?}: {:?}", begun.elapsed());
    })
    .await;
}

/// What a caller names a method gets into the log as text that can be seen, and not as a line of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn text_for_the_log() {
    let text = format!("x\u{9b}2J\u{202e}\u{200b}{}", "a".repeat(8_000));
    against_all(async |target| {
        for (format, expected) in [("text", r"x\u{9b}2J\u{202e}\u{200b}aaa"), ("json", r"x\u009b2J\u202e\u200baaa")] {
            let mut running = Unread::start(target, "0", format);
            let address = running.url.trim_start_matches("http://").to_owned();
            let mut attacker = Attacker::connect(&address, &[]).await;
            let service = target.path().rsplit_once('/').unwrap().0;
            let call = [headers(1, &format!("{service}/{text}")), message(1, target.message())].concat();
            assert!(attacker.send(&call).await);
            attacker.ended(1).await;
            let log = running.log.take().unwrap();
            let line = spawn_blocking(|| {
                log.lines().map(Result::unwrap).find(|line| line.contains("request finished")).unwrap()
            });
            let line = within("the line of the call", line).await.unwrap();
            assert!(line.contains(expected), "{target:?}, {format}: {line:?}");
            assert!(!line.contains(['\u{9b}', '\u{202e}', '\u{200b}']), "{target:?}, {format}: {line:?}");
            assert!(line.len() < 1_000, "{target:?}, {format}: {} bytes", line.len());
        }
    })
    .await;
}

/// Calls that are reset when they have begun have a sample of log lines, and a count.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_log_lines() {
    const BATCHES: u32 = 20;
    const BATCH: u32 = 500;
    against_all(async |target| {
        let mut running = Unread::start(target, "20s", "json");
        let (begun, address) = (Instant::now(), running.url.trim_start_matches("http://").to_owned());
        let log = running.log.take().unwrap();
        let log = spawn_blocking(move || log.lines().map_while(Result::ok).collect::<Vec<_>>());
        let mut attacker = Attacker::connect(&address, &[]).await;
        for batch in 0..BATCHES {
            let calls = batch * (BATCH + 1)..batch * (BATCH + 1) + BATCH;
            // The last one has no such method: it is answered when those before it have begun.
            let last = stream(calls.end);
            let frames = calls.clone().flat_map(|number| call(stream(number), target));
            let frames: Vec<_> = frames.chain(headers(last, "/none.Service/None")).chain(message(last, &[])).collect();
            assert!(attacker.send(&frames).await, "{target:?}: batch {batch}");
            attacker.ended(batch as usize + 1).await;
            assert!(attacker.send(&calls.flat_map(|number| reset(stream(number))).collect::<Vec<_>>()).await);
        }
        // The count comes within a second of the last call: a call that is served is logged after it.
        running.terminate();
        let (_, _running) = spawn_blocking(move || (running.child.wait().unwrap(), running)).await.unwrap();
        let lines = within("the end of the log", log).await.unwrap();
        let cancelled = lines.iter().filter(|line| line.contains("request cancelled by its caller")).count();
        let seconds = usize::try_from(begun.elapsed().as_secs()).unwrap();
        println!("{target:?}: {cancelled} lines of cancelled calls, {} in all", lines.len());
        assert!(cancelled > 0 && cancelled <= 50 * (seconds + 2), "{target:?}: {cancelled} in {seconds} s");
        assert!(lines.len() <= 100 * (seconds + 2), "{target:?}: {} lines in {seconds} s", lines.len());
    })
    .await;
}

/// More silent connections than the endpoint for Prometheus holds do not stop a scrape.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_connections_to_the_metrics() {
    against_all(async |target| {
        let victim = Victim::start(target, "0").await;
        let honest = Honest::start(&victim).await;
        let address = victim.metrics().trim_start_matches("http://").trim_end_matches("/metrics").to_owned();
        let half = b"GET /metrics HTTP/1.1\r\nHost: half";
        let mut silent = open(&address, 60, b"").await;
        silent.extend(open(&address, 60, half).await);
        let (begun, url) = (Instant::now(), victim.metrics().to_owned());
        let (head, body) = spawn_blocking(move || scrape::get(&url)).await.unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{target:?}: {head}");
        assert!(body.contains("rpc_server_call_duration_seconds_count"), "{target:?}: {body}");
        // Long before the silent ones run out of time, unless this machine is very busy.
        assert!(begun.elapsed() < Duration::from_secs(5), "{target:?}: {:?}", begun.elapsed());
        all_closed(silent).await;
        honest.finish().await;
        victim.assert_held("silent connections to the metrics", Warned::Never);
    })
    .await;
}

/// Neither silent connections nor streams without an end use up the drain of 25 seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_with_silent_connections() {
    against_all(async |target| {
        let mut victim = Victim::start_with(target, "0", &["--reflection"]).await;
        let hello = [PREFACE, &settings(&[])].concat();
        let _silent = [open(victim.address(), 50, b"").await, open(victim.address(), 50, &hello).await];
        let mut attackers = Vec::new();
        // One reads replies, the other does not.
        for window in [65_535, 0] {
            let mut attacker = Attacker::connect(victim.address(), &[(INITIAL_WINDOW_SIZE, window)]).await;
            let watch = |stream| [headers(stream, WATCH), message(stream, b"")].concat();
            let ask = |stream| [headers(stream, REFLECTION), data(stream, &framed(LIST_SERVICES))].concat();
            let streams: Vec<_> =
                (0..10).flat_map(|pair| [watch(stream(2 * pair)), ask(stream(2 * pair + 1))].concat()).collect();
            assert!(attacker.send(&streams).await);
            attackers.push(attacker);
        }
        // A call after them has arrived after them.
        victim.client().await.call().await.unwrap();
        let begun = Instant::now();
        let (code, _victim) = spawn_blocking(move || (victim.stop(), victim)).await.unwrap();
        assert_eq!(code, Some(0), "{target:?}");
        assert!(begun.elapsed() < Duration::from_secs(20), "{target:?}: {:?}", begun.elapsed());
    })
    .await;
}
