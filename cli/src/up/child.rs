//! One service's process.

use std::{
    fmt, io,
    net::{SocketAddr, TcpListener},
    os::{fd::OwnedFd, unix::process::ExitStatusExt as _},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child as Process, Command};

use super::{MetricsPorts, Running};

/// The variable by which a service knows which process must outlive it.
const PARENT: &str = "FANOUT_UP_PID";

/// A running service.
#[derive(Debug)]
pub(super) struct Child {
    name: &'static str,
    address: SocketAddr,
    pid: u32,
    metrics: Option<String>,
    process: Process,
    ended: bool,
}

/// A service that is gone.
#[derive(Debug)]
pub struct Ended {
    name: &'static str,
    pid: u32,
    status: ExitStatus,
}

// === impl Child ===

impl Child {
    /// Starts this binary again as the service of this name. The listener becomes its
    /// standard input; this process keeps no copy, so that a dead service's port is dead.
    pub(super) fn spawn(
        name: &'static str,
        listener: TcpListener,
        address: SocketAddr,
        args: &[String],
        metrics: Option<&MetricsPorts>,
    ) -> io::Result<Self> {
        let process = Command::new(std::env::current_exe()?)
            .arg(name)
            .args(args)
            .env(PARENT, std::process::id().to_string())
            // Each has its own name in the traces.
            .env_remove("OTEL_SERVICE_NAME")
            .envs(metrics.map(|ports| ports.variable(name)))
            .stdin(Stdio::from(OwnedFd::from(listener)))
            // Ctrl-C goes to the terminal's whole process group: the services are told by
            // this process instead, one after the other.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let pid = process.id().expect("a process that was not waited for has an id");
        let metrics = metrics.and_then(|ports| ports.url(name));
        Ok(Self { name, address, pid, metrics, process, ended: false })
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn running(&self) -> Running {
        Running { service: self.name, address: self.address, pid: self.pid, metrics: self.metrics.clone() }
    }

    /// Waits until the process ends. Cancel safe.
    pub(super) async fn ended(&mut self) -> io::Result<Ended> {
        let status = self.process.wait().await?;
        self.ended = true;
        Ok(Ended { name: self.name, pid: self.pid, status })
    }

    /// Ends the process: with SIGTERM, and after `patience` with SIGKILL.
    pub(super) async fn stop(&mut self, patience: Duration) -> io::Result<()> {
        if self.ended {
            return Ok(());
        }
        if let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) {
            // It may have ended by itself in between: then there is nothing to tell.
            let _ = kill_process(pid, Signal::TERM);
        }
        if let Ok(ended) = tokio::time::timeout(patience, self.ended()).await {
            return ended.map(drop);
        }
        eprintln!("fanout: the {} (process {}) does not end; it is killed", self.name, self.pid);
        self.process.kill().await
    }
}

// === impl Ended ===

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} (process {}) ", self.name, self.pid)?;
        match (self.status.code(), self.status.signal()) {
            (Some(code), _) => write!(f, "ended with exit code {code}"),
            (None, Some(signal)) => write!(f, "was killed by signal {signal}{}", signal_name(signal)),
            (None, None) => write!(f, "ended: {}", self.status),
        }
    }
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        6 => " (SIGABRT)",
        9 => " (SIGKILL)",
        11 => " (SIGSEGV)",
        15 => " (SIGTERM)",
        _ => "",
    }
}

/// In a service that `fanout up` started: ends it when that process dies, however it
/// dies. Elsewhere than on Linux it does not.
pub(crate) fn end_with_parent() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{getppid, set_parent_process_death_signal};
        let Some(parent) = std::env::var(PARENT).ok().and_then(|pid| pid.parse::<i32>().ok()) else { return };
        let set = set_parent_process_death_signal(Some(Signal::TERM));
        // It may have died before.
        if set.is_ok() && getppid().map(|pid| pid.as_raw_nonzero().get()) != Some(parent) {
            std::process::exit(0);
        }
    }
}
