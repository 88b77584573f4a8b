//! One service as a process.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::{TIMEOUT, binary};

/// A running service. It is killed when this is dropped.
pub struct Service {
    process: Child,
    /// Where it listens, as a URL.
    pub url: String,
    /// The URL of its metrics; empty if it exports none.
    pub metrics: String,
    served: Arc<AtomicUsize>,
    /// How many warnings it has logged.
    warnings: Arc<AtomicUsize>,
    /// The thread that reads its log.
    reader: Option<JoinHandle<()>>,
}

fn command(name: &str, address: &str, args: &[&str]) -> Command {
    let mut command = Command::new(binary::fanout());
    command.args([name, "--listen", address, "--log-format", "json"]).args(args);
    command
}

// === impl Service ===

impl Service {
    /// Starts it on a free port, and waits until it logs the message `until`.
    pub fn start(name: &str, args: &[&str], until: &str) -> Self {
        Self::start_at(name, "127.0.0.1:0", args, until)
    }

    /// Starts it on a free port with these environment variables, and waits until it logs the message `until`.
    pub fn start_with(name: &str, args: &[&str], env: &[(&str, &str)], until: &str) -> Self {
        Self::spawn(command(name, "127.0.0.1:0", args).envs(env.iter().copied()), until)
    }

    /// Starts it at this address, and waits until it logs the message `until`.
    pub fn start_at(name: &str, address: &str, args: &[&str], until: &str) -> Self {
        Self::spawn(&mut command(name, address, args), until)
    }

    /// Starts it on a free port, and waits until it has logged a line with each of these sets of fields, in any order.
    pub fn start_until_all(name: &str, args: &[&str], lines: Vec<Value>) -> Self {
        Self::spawn_until_all(&mut command(name, "127.0.0.1:0", args), lines)
    }

    /// Starts the service with a command of the test's, and waits until it logs the message `until`.
    pub fn spawn(command: &mut Command, until: &str) -> Self {
        Self::spawn_until_all(command, vec![json!({ "message": until })])
    }

    fn spawn_until_all(command: &mut Command, mut awaited: Vec<Value>) -> Self {
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        let served = Arc::new(AtomicUsize::new(0));
        let warnings = Arc::new(AtomicUsize::new(0));
        let (sender, lines) = mpsc::channel();
        let (counter, warned) = (Arc::clone(&served), Arc::clone(&warnings));
        let reader = thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let line = serde_json::from_str::<Value>(&line).unwrap();
                if line["message"] == "request finished" {
                    counter.fetch_add(1, Ordering::Relaxed);
                }
                if line["level"] == "WARN" {
                    warned.fetch_add(1, Ordering::Relaxed);
                }
                let _ = sender.send(line);
            }
        });
        let (url, metrics) = (String::new(), String::new());
        let mut service = Self { process, url, metrics, served, warnings, reader: Some(reader) };
        while !awaited.is_empty() {
            let line = lines.recv_timeout(TIMEOUT).unwrap_or_else(|_| panic!("{command:?} has not logged {awaited:?}"));
            if line["message"] == "listening" {
                service.url = format!("http://{}", line["address"].as_str().unwrap());
            }
            if line["message"] == "metrics can be scraped" {
                line["url"].as_str().unwrap().clone_into(&mut service.metrics);
            }
            let has_fields =
                |fields: &Value| fields.as_object().unwrap().iter().all(|(name, value)| line[name] == *value);
            if let Some(found) = awaited.iter().position(has_fields) {
                awaited.swap_remove(found);
            }
        }
        service
    }

    /// Returns where it listens, without `http://`.
    pub fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.process.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Returns how many requests it has finished, according to the log lines read so far.
    pub fn served(&self) -> usize {
        self.served.load(Ordering::Relaxed)
    }

    /// Stops it, and returns how many requests it has finished in all.
    pub fn stop_and_count(&mut self) -> usize {
        self.stop();
        self.served()
    }

    /// Stops it, and returns how many warnings it has logged.
    pub fn stop_and_count_warnings(&mut self) -> usize {
        self.stop();
        self.warnings.load(Ordering::Relaxed)
    }

    fn stop(&mut self) {
        self.terminate();
        self.wait();
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
    }

    /// Waits for it to end, and returns its exit code.
    pub fn wait(&mut self) -> Option<i32> {
        self.process.wait().unwrap().code()
    }

    /// Kills it with SIGKILL.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill();
    }
}
