//! All services, as `fanout up` starts them.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use fanout_cli::services::SERVICES;
use rustix::process::{Pid, Signal, kill_process};

/// A running `fanout up` on free ports, with an empty database. It is stopped when this is dropped.
pub(crate) struct Fleet {
    process: Child,
    /// The gateway's URL.
    pub(crate) gateway: String,
    _data: tempfile::TempDir,
}

// === impl Fleet ===

impl Fleet {
    /// Starts the services, whose backends reply after this delay, and waits until they are up.
    pub(crate) fn start(delay: &str) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_fanout"))
            .args(["up", "--json", "--no-view", "--delay", delay, "--data-dir"])
            .arg(data.path())
            .args(SERVICES.iter().map(|service| format!("--port={}=0", service.name)))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
        let up = lines.by_ref().map(|line| serde_json::from_str::<serde_json::Value>(&line).unwrap());
        let mut up = up.skip_while(|line| line["message"] != "up");
        let services = up.next().expect("fanout up reports what runs")["services"].clone();
        let gateway = services.as_array().unwrap().iter().find(|service| service["service"] == "gateway").unwrap();
        let gateway = format!("http://{}", gateway["address"].as_str().unwrap());
        // The log has to be read to its end: a full pipe would stop the services.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, gateway, _data: data }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        let pid = Pid::from_raw(i32::try_from(self.process.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        self.process.wait().unwrap();
    }
}
