//! A `fanout` process and what it logs.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    thread::{self, JoinHandle},
};

use fanout_cli::parent_process;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{TIMEOUT, wait};

/// A running process. It is killed when this is dropped, and ends by itself when the test's process has ended.
pub(crate) struct Process {
    child: Child,
    name: String,
    /// The thread that reads its log.
    reader: Option<JoinHandle<()>>,
}

/// A process that is stopped as by Ctrl-Z. It continues when this is dropped, or when the test's process has ended: a
/// stopped process cannot notice that.
pub struct Paused {
    /// A shell that waits for the end of its input, and then wakes the process up.
    waker: Child,
}

// === impl Process ===

impl Process {
    /// Starts it. Each line of its log is passed on.
    pub(crate) fn start(command: &mut Command, mut log: impl FnMut(Value) + Send + 'static) -> Self {
        let (variable, pipe) = parent_process::variable().unwrap();
        let mut child = command.env(variable, pipe).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let reader = thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                log(serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON: {line}")));
            }
        });
        Self { child, name: format!("{command:?}"), reader: Some(reader) }
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    pub(crate) fn pause(&self) -> Paused {
        let mut waker = Command::new("sh");
        waker.args(["-c", "cat; kill -CONT \"$0\" 2>/dev/null"]).arg(self.pid().to_string());
        let waker = waker.stdin(Stdio::piped()).spawn().unwrap();
        self.signal(Signal::STOP);
        Paused { waker }
    }

    /// Waits until it has ended and its log has been read to the end. Returns its exit code.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        let status = wait::exit(&mut self.child);
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        status.unwrap_or_else(|| panic!("{} was killed: it has not ended within {TIMEOUT:?}", self.name)).code()
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

// === impl Paused ===

impl Drop for Paused {
    fn drop(&mut self) {
        // `wait` closes its input.
        self.waker.wait().unwrap();
    }
}
