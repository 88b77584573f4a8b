//! A running `fanout up` and what its tests look at it with.

use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread,
};

use fanout_cli::services::SERVICES;
use fanout_proto::{
    gateway::v1::gateway_service_client::GatewayServiceClient, user::v1::user_service_client::UserServiceClient,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::sync::Notify;
use tonic::transport::Channel;

use crate::{PATIENCE, binary};

/// `fanout up` as a process, on ports of its own. Dropped, it is stopped.
pub struct Up {
    process: Child,
    /// Address and process id of each service.
    services: HashMap<String, (String, i32)>,
    log: Arc<Log>,
    /// Removed with this.
    data: Option<tempfile::TempDir>,
}

/// The lines so far, and word of each new one.
#[derive(Default)]
struct Log {
    lines: Mutex<Vec<Value>>,
    changed: Notify,
}

// === impl Up ===

impl Up {
    /// Starts it with a new database.
    pub fn start(args: &[&str]) -> Self {
        Self::start_with(args, &[])
    }

    /// Starts it with a new database and these environment variables.
    pub fn start_with(args: &[&str], env: &[(&str, &str)]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut up = Self::start_in(data.path(), args, env);
        up.data = Some(data);
        up
    }

    /// Starts it with the database in this directory.
    pub fn start_in(data: &Path, args: &[&str], env: &[(&str, &str)]) -> Self {
        let mut process = Command::new(binary::fanout())
            .args(["up", "--json", "--data-dir"])
            .arg(data)
            .args(SERVICES.iter().map(|service| format!("--port={}=0", service.name)))
            .args(args)
            .env_remove("OTEL_EXPORTER_OTLP_ENDPOINT")
            .envs(env.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        let log = Arc::new(Log::default());
        let (tell, ready) = mpsc::channel();
        let lines = Arc::clone(&log);
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let line: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON: {line}"));
                if line["message"] == "up" {
                    let _ = tell.send(line["services"].clone());
                }
                lines.lines.lock().unwrap().push(line);
                lines.changed.notify_waiters();
            }
        });
        let running = ready.recv_timeout(PATIENCE).expect("fanout up says what runs");
        let services = running.as_array().unwrap().iter().map(|running| {
            let text = |key: &str| running[key].as_str().unwrap().to_owned();
            (text("service"), (text("address"), i32::try_from(running["pid"].as_i64().unwrap()).unwrap()))
        });
        Self { process, services: services.collect(), log, data: None }
    }

    /// `http://` and the address of a service.
    pub fn url(&self, service: &str) -> String {
        format!("http://{}", self.services[service].0)
    }

    pub async fn gateway(&self) -> GatewayServiceClient<Channel> {
        GatewayServiceClient::connect(self.url("gateway")).await.unwrap()
    }

    pub async fn users(&self) -> UserServiceClient<Channel> {
        UserServiceClient::connect(self.url("user-service")).await.unwrap()
    }

    /// Sends a signal to a service's process.
    pub fn signal(&self, service: &str, signal: Signal) {
        kill_process(Pid::from_raw(self.services[service].1).unwrap(), signal).unwrap();
    }

    /// Tells `fanout up` itself to stop, and returns its exit code.
    pub fn stop(&mut self) -> Option<i32> {
        let pid = Pid::from_raw(i32::try_from(self.process.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        self.process.wait().unwrap().code()
    }

    /// Waits for `fanout up` to end by itself.
    pub fn wait(&mut self) -> Option<i32> {
        self.process.wait().unwrap().code()
    }

    pub fn pid_of(&self, service: &str) -> i32 {
        self.services[service].1
    }

    /// How many log lines there are so far of this kind.
    pub fn count(&self, is_it: impl Fn(&Value) -> bool) -> usize {
        self.log.lines.lock().unwrap().iter().filter(|line| is_it(line)).count()
    }

    /// Waits for a log line, and returns it.
    pub async fn logged(&self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let found = async {
            loop {
                let changed = self.log.changed.notified();
                if let Some(line) = self.log.lines.lock().unwrap().iter().find(|line| is_it(line)) {
                    return line.clone();
                }
                changed.await;
            }
        };
        tokio::time::timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("no log line: {what}"))
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        if self.process.try_wait().unwrap().is_none() {
            self.stop();
        }
    }
}
