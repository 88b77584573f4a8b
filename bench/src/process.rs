//! A process that is measured: what it has used, by the kernel's own accounting.

use std::{
    fs, io,
    net::TcpStream,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

/// How long a process may take until it accepts connections. Interpreters load their packages first.
const START: Duration = Duration::from_secs(30);

/// A running process. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    ticks_per_second: u64,
}

// === impl Process ===

impl Process {
    /// Starts a process and waits until it accepts connections at its address. Its output goes to a file beside the
    /// program's own.
    ///
    /// # Errors
    ///
    /// Returns an error that names the program if it does not start, ends, or does not listen.
    pub(crate) fn start(mut command: Command, address: &str, log: &std::path::Path) -> io::Result<Self> {
        let program = command.get_program().to_string_lossy().into_owned();
        let named = |what: String| io::Error::other(format!("{program}: {what} (log: {})", log.display()));
        let output = fs::File::create(log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().map_err(|error| named(error.to_string()))?;
        let mut process = Self { child, ticks_per_second: rustix::param::clock_ticks_per_second() };
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            if let Some(status) = process.child.try_wait()? {
                return Err(named(format!("it ended with {status}")));
            }
            if begun.elapsed() > START {
                return Err(named(format!("it does not listen at {address} after {} s", START.as_secs())));
            }
            thread::sleep(Duration::from_millis(10));
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

    /// Returns the processor time of all its threads, those that have ended among them. Its resolution is a tick, mostly
    /// 10 ms.
    ///
    /// # Errors
    ///
    /// Returns an error if the process has ended.
    pub(crate) fn processor_time(&self) -> io::Result<Duration> {
        let text = fs::read_to_string(self.file("stat"))?;
        let missing = || io::Error::other("/proc/PID/stat has another form");
        // The program's name, in brackets, may have spaces.
        let (_, fields) = text.rsplit_once(')').ok_or_else(missing)?;
        let ticks = |index| fields.split_whitespace().nth(index).and_then(|field| field.parse::<u64>().ok());
        let (user, system) = ticks(11).zip(ticks(12)).ok_or_else(missing)?;
        Ok(Duration::from_millis((user + system) * 1_000 / self.ticks_per_second))
    }

    /// Returns its resident memory in KiB.
    ///
    /// # Errors
    ///
    /// Returns an error if the process has ended.
    pub(crate) fn memory(&self) -> io::Result<u64> {
        self.status("VmRSS:")
    }

    /// Returns its largest resident memory since [`forget_peak`](Self::forget_peak), in KiB.
    ///
    /// # Errors
    ///
    /// Returns an error if the process has ended.
    pub(crate) fn peak_memory(&self) -> io::Result<u64> {
        self.status("VmHWM:")
    }

    /// Lets the largest resident memory begin at that of now.
    ///
    /// # Errors
    ///
    /// Returns an error if the process has ended.
    pub(crate) fn forget_peak(&self) -> io::Result<()> {
        fs::write(self.file("clear_refs"), "5")
    }

    fn status(&self, name: &str) -> io::Result<u64> {
        let status = fs::read_to_string(self.file("status"))?;
        let field = status.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok());
        field.ok_or_else(|| io::Error::other(format!("/proc/PID/status has no {name}")))
    }

    fn file(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.child.id())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
