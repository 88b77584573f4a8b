//! `fanout up` as a process.

use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread,
};

use fanout_cli::services::SERVICES;
use fanout_proto::gateway::v1::gateway_service_client::GatewayServiceClient;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::sync::Notify;
use tonic::transport::Channel;

use crate::{TIMEOUT, binary};

/// A running `fanout up`, on free ports. It is stopped when this is dropped.
pub struct Up {
    process: Child,
    /// The address of each service.
    addresses: HashMap<String, String>,
    log: Arc<Log>,
    /// The directory of its database.
    _data: tempfile::TempDir,
}

/// The log lines so far.
#[derive(Default)]
struct Log {
    lines: Mutex<Vec<Value>>,
    changed: Notify,
}

// === impl Up ===

impl Up {
    /// Starts it with an empty database.
    pub fn start(args: &[&str]) -> Self {
        Self::start_with(args, &[])
    }

    /// Starts it with an empty database and these environment variables.
    pub fn start_with(args: &[&str], env: &[(&str, &str)]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut process = Command::new(binary::fanout())
            .args(["up", "--json", "--data-dir"])
            .arg(data.path())
            .args(SERVICES.iter().map(|service| format!("--port={}=0", service.name)))
            .args(args)
            .env_remove("OTEL_EXPORTER_OTLP_ENDPOINT")
            .envs(env.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        let log = Arc::new(Log::default());
        let (sender, ready) = mpsc::channel();
        let lines = Arc::clone(&log);
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let line: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON: {line}"));
                if line["message"] == "up" {
                    let _ = sender.send(line["services"].clone());
                }
                lines.lines.lock().unwrap().push(line);
                lines.changed.notify_waiters();
            }
        });
        let running = ready.recv_timeout(TIMEOUT).expect("fanout up reports what runs");
        let addresses = running.as_array().unwrap().iter().map(|running| {
            let text = |key: &str| running[key].as_str().unwrap().to_owned();
            (text("service"), text("address"))
        });
        Self { process, addresses: addresses.collect(), log, _data: data }
    }

    /// Returns the URL of a service.
    pub fn url(&self, service: &str) -> String {
        format!("http://{}", self.addresses[service])
    }

    /// Connects to the gateway.
    pub async fn gateway(&self) -> GatewayServiceClient<Channel> {
        GatewayServiceClient::connect(self.url("gateway")).await.unwrap()
    }

    /// Sends SIGTERM to `fanout up` itself, and returns its exit code.
    pub fn stop(&mut self) -> Option<i32> {
        let pid = Pid::from_raw(i32::try_from(self.process.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        self.process.wait().unwrap().code()
    }

    /// Returns how many log lines match so far.
    pub fn count(&self, matches: impl Fn(&Value) -> bool) -> usize {
        self.log.lines.lock().unwrap().iter().filter(|line| matches(line)).count()
    }

    /// Waits for a log line that matches, and returns it. `what` describes it if it does not come.
    pub async fn wait_for_log(&self, what: &str, matches: impl Fn(&Value) -> bool) -> Value {
        let found = async {
            loop {
                let changed = self.log.changed.notified();
                if let Some(line) = self.log.lines.lock().unwrap().iter().find(|line| matches(line)) {
                    return line.clone();
                }
                changed.await;
            }
        };
        tokio::time::timeout(TIMEOUT, found).await.unwrap_or_else(|_| panic!("no log line: {what}"))
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        if self.process.try_wait().unwrap().is_none() {
            self.stop();
        }
    }
}
