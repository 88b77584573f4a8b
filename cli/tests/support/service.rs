//! One service as a process of its own, without the others.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::PATIENCE;

/// A service on a port of its own. Dropped, it is killed.
pub(crate) struct Service {
    process: Child,
    /// Where it listens, with `http://`.
    pub(crate) url: String,
}

// === impl Service ===

impl Service {
    /// Starts it, and waits until it logs this message.
    pub(crate) fn start(name: &str, args: &[&str], until: &str) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_fanout"))
            .args([name, "--listen", "127.0.0.1:0", "--log-format", "json"])
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        let mut service = Self { process, url: String::new() };
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _ = tell.send(serde_json::from_str::<Value>(&line).unwrap());
            }
        });
        loop {
            let line = told.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{name} does not log {until:?}"));
            if line["message"] == "listening" {
                service.url = format!("http://{}", line["address"].as_str().unwrap());
            }
            if line["message"] == until {
                return service;
            }
        }
    }

    /// Tells it to stop.
    pub(crate) fn terminate(&self) {
        let pid = Pid::from_raw(i32::try_from(self.process.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
    }

    /// Waits for it to end by itself, and returns its exit code.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        self.process.wait().unwrap().code()
    }

    /// Ends it as if the power had gone.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill();
    }
}
