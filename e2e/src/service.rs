//! One service as a process.

use std::{
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
};

use process_usage::ProcessUsage;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{
    binary,
    log::Log,
    process::{Paused, Process},
    wait,
};

/// A running service. It is killed when this is dropped.
pub struct Service {
    process: Process,
    /// Where it listens, as a URL.
    pub url: String,
    /// The URL of its metrics; empty if it exports none.
    pub metrics: String,
    counts: Arc<Counts>,
    /// Its log lines so far.
    pub log: Arc<Log>,
}

/// How many lines of a kind it has logged.
#[derive(Default)]
struct Counts {
    served: AtomicUsize,
    warnings: Mutex<Vec<Value>>,
    lines: AtomicUsize,
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
        let (sender, lines) = mpsc::channel();
        let (counts, log) = (Arc::<Counts>::default(), Arc::<Log>::default());
        let process = Process::start(command, {
            let (counts, log) = (Arc::clone(&counts), Arc::clone(&log));
            move |line| {
                counts.add(&line);
                log.push(line.clone());
                let _ = sender.send(line);
            }
        });
        let mut service = Self { process, url: String::new(), metrics: String::new(), counts, log };
        let started = wait::first(&lines, |line| {
            service.note_address(&line);
            let has_fields =
                |fields: &Value| fields.as_object().unwrap().iter().all(|(name, value)| line[name] == *value);
            if let Some(found) = awaited.iter().position(has_fields) {
                awaited.swap_remove(found);
            }
            awaited.is_empty().then_some(())
        });
        assert!(started.is_some(), "{command:?} has not logged {awaited:?}");
        service
    }

    fn note_address(&mut self, line: &Value) {
        if line["message"] == "listening" {
            self.url = format!("http://{}", line["address"].as_str().unwrap());
        }
        if line["message"] == "metrics can be scraped" {
            line["url"].as_str().unwrap().clone_into(&mut self.metrics);
        }
    }

    /// Returns where it listens, without `http://`.
    pub fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        self.process.signal(Signal::TERM);
    }

    /// Sends SIGHUP.
    pub fn hang_up(&self) {
        self.process.signal(Signal::HUP);
    }

    /// Stops it as by Ctrl-Z until the returned value is dropped.
    pub fn pause(&self) -> Paused {
        self.process.pause()
    }

    /// Returns an amount of memory from its `/proc/PID/status` in KiB, such as `VmRSS`: what it has, or `VmHWM`: what it
    /// had at most.
    pub fn memory(&self, name: &str) -> u64 {
        self.usage().status(name).unwrap()
    }

    /// Forgets how much memory it had at most: `VmHWM` is what it has from now on.
    pub fn forget_peak_memory(&self) {
        self.usage().forget_peak().unwrap();
    }

    /// Returns how many seconds of processor time it has used, from `/proc/PID/stat`.
    pub fn processor_seconds(&self) -> f64 {
        self.usage().processor_time().unwrap().total().as_secs_f64()
    }

    /// Returns how many threads serve requests. The first thread is one of them.
    pub fn workers(&self) -> usize {
        1 + self.usage().thread_names().unwrap().iter().filter(|name| name.starts_with("worker-")).count()
    }

    fn usage(&self) -> ProcessUsage {
        ProcessUsage::of(self.process.pid().as_raw_nonzero().get().unsigned_abs())
    }

    /// Returns how many requests it has finished, according to the log lines read so far.
    pub fn served(&self) -> usize {
        self.counts.served.load(Ordering::Relaxed)
    }

    /// Stops it, and returns how many requests it has finished in all.
    pub fn stop_and_count(&mut self) -> usize {
        self.terminate();
        self.wait();
        self.served()
    }

    /// Returns how many lines it has logged, according to those read so far.
    pub fn lines(&self) -> usize {
        self.counts.lines.load(Ordering::Relaxed)
    }

    /// Stops it, and returns how many warnings it has logged.
    pub fn stop_and_count_warnings(&mut self) -> usize {
        self.stop_and_take_warnings().len()
    }

    /// Stops it, and returns the warnings that it has logged.
    pub fn stop_and_take_warnings(&mut self) -> Vec<Value> {
        self.terminate();
        self.wait();
        self.take_warnings()
    }

    /// Returns the warnings that it has logged since this was called last, according to the lines read so far.
    pub fn take_warnings(&self) -> Vec<Value> {
        std::mem::take(&mut self.counts.warnings.lock().unwrap())
    }

    /// Waits for it to end, and returns its exit code.
    pub fn wait(&mut self) -> Option<i32> {
        self.process.wait()
    }

    /// Kills it with SIGKILL.
    pub fn kill(&mut self) {
        self.process.kill();
    }
}

// === impl Counts ===

impl Counts {
    fn add(&self, line: &Value) {
        self.lines.fetch_add(1, Ordering::Relaxed);
        if line["message"] == "request finished" {
            self.served.fetch_add(1, Ordering::Relaxed);
        }
        if line["level"] == "WARN" {
            self.warnings.lock().unwrap().push(line.clone());
        }
    }
}
