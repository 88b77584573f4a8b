//! `fanout up` as a process.

use std::{
    collections::HashMap,
    process::Command,
    sync::{Arc, mpsc},
    thread,
};

use fanout_cli::services::SERVICES;
use fanout_proto::gateway::v1::gateway_service_client::GatewayServiceClient;
use rustix::process::Signal;
use serde_json::Value;
use tonic::transport::Channel;

use crate::{binary, connect, log::Log, process::Process, wait};

/// A running `fanout up`, on free ports. It is stopped when this is dropped.
pub struct Up {
    process: Process,
    /// The address of each service.
    addresses: HashMap<String, String>,
    log: Arc<Log>,
    /// The directory of its database.
    _data: tempfile::TempDir,
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
        let mut command = Command::new(binary::fanout());
        command
            .args(["up", "--json", "--no-view", "--data-dir"])
            .arg(data.path())
            .args(SERVICES.iter().map(|service| format!("--port={}=0", service.name)))
            .args(args)
            .env_remove("OTEL_EXPORTER_OTLP_ENDPOINT")
            .envs(env.iter().copied());
        let log = Arc::new(Log::default());
        let (sender, ready) = mpsc::channel();
        let process = Process::start(&mut command, {
            let log = Arc::clone(&log);
            move |line| {
                if line["message"] == "up" {
                    let _ = sender.send(line["services"].clone());
                }
                log.push(line);
            }
        });
        let mut up = Self { process, addresses: HashMap::new(), log, _data: data };
        let running = wait::first(&ready, Some).expect("fanout up reports what runs");
        up.addresses = running
            .as_array()
            .unwrap()
            .iter()
            .map(|running| {
                let text = |key: &str| running[key].as_str().unwrap().to_owned();
                (text("service"), text("address"))
            })
            .collect();
        up
    }

    /// Returns the URL of a service.
    pub fn url(&self, service: &str) -> String {
        format!("http://{}", self.addresses[service])
    }

    /// Connects to the gateway.
    pub async fn gateway(&self) -> GatewayServiceClient<Channel> {
        GatewayServiceClient::new(connect(&self.url("gateway")).await)
    }

    /// Sends SIGTERM to `fanout up` itself, and returns its exit code.
    pub fn stop(&mut self) -> Option<i32> {
        self.process.signal(Signal::TERM);
        self.process.wait()
    }

    /// Returns how many log lines match so far.
    pub fn count(&self, matches: impl Fn(&Value) -> bool) -> usize {
        self.log.count(matches)
    }

    /// Waits for a log line that matches, and returns it. `what` describes it if it does not come.
    pub async fn wait_for_log(&self, what: &str, matches: impl Fn(&Value) -> bool) -> Value {
        self.log.wait_for(what, matches).await
    }
}

impl Drop for Up {
    /// Stops it in order, unless the test has failed already.
    fn drop(&mut self) {
        if !thread::panicking() && !self.process.has_ended() {
            self.stop();
        }
    }
}
