//! A process that is measured.

use std::{
    fs, io,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use process_usage::ProcessUsage;
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    net::TcpStream,
    time::{Instant, sleep},
};

/// How long a process may take until it accepts connections. Interpreters load their packages first.
const START: Duration = Duration::from_secs(30);

/// A running process. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
}

// === impl Process ===

impl Process {
    /// Starts a process and waits until it accepts connections at its address. Its output goes to a file.
    ///
    /// # Errors
    ///
    /// Returns an error that names the program if it does not start, ends, or does not listen.
    pub(crate) async fn start(mut command: Command, address: &str, log: &Path) -> io::Result<Self> {
        let program = command.get_program().to_string_lossy().into_owned();
        let named = |what: String| io::Error::other(format!("{program}: {what} (log: {})", log.display()));
        let output = fs::File::create(log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().map_err(|error| named(error.to_string()))?;
        let mut process = Self { child };
        let begun = Instant::now();
        while TcpStream::connect(address).await.is_err() {
            if let Some(status) = process.child.try_wait()? {
                return Err(named(format!("it ended with {status}")));
            }
            if begun.elapsed() > START {
                return Err(named(format!("it does not listen at {address} after {} s", START.as_secs())));
            }
            sleep(Duration::from_millis(10)).await;
        }
        Ok(process)
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Errors
    ///
    /// Returns an error if it does not end with success.
    pub(crate) fn stop(mut self) -> io::Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let status = self.child.wait()?;
        if status.success() { Ok(()) } else { Err(io::Error::other(format!("it ended with {status}"))) }
    }

    /// Returns what it has used. Reading it is an error once the process has ended.
    pub(crate) fn usage(&self) -> ProcessUsage {
        ProcessUsage::of(self.child.id())
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
