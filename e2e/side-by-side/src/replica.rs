//! A server process that can be killed or stopped.

use std::{
    env,
    io::{self, BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

/// A running server. Dropping it kills the process.
pub(crate) struct Replica {
    child: Child,
    port: u16,
}

// === impl Replica ===

impl Replica {
    /// Starts `side-by-side serve` with these arguments.
    ///
    /// # Errors
    ///
    /// Returns an error if the process does not start or does not print its port.
    pub(crate) fn start(args: &[String]) -> io::Result<Self> {
        let mut child = Command::new(env::current_exe()?)
            .arg("serve")
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut first = String::new();
        BufReader::new(child.stdout.take().expect("standard output is a pipe")).read_line(&mut first)?;
        let port = first.strip_prefix("listening ").and_then(|port| port.trim().parse().ok());
        let port = port.ok_or_else(|| io::Error::other(format!("the server printed {first:?}")))?;
        Ok(Self { child, port })
    }

    /// The server's URI.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Sends a signal to the process.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        let pid = Pid::from_child(&self.child);
        Ok(kill_process(pid, signal)?)
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
