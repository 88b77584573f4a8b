//! A service's process.

use std::{io, net::SocketAddr, os::fd::OwnedFd, process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use tokio::process::{Child as Process, Command};

use crate::{
    parent_process,
    services::Kind,
    up::{child_exit::ChildExit, launch::LaunchSpec, metrics::MetricsPorts},
};

/// A service's process, running or ended.
#[derive(Debug)]
pub(super) struct Child {
    running: Running,
    process: Process,
    has_ended: bool,
}

/// Where a service runs.
#[derive(Clone, Debug, Serialize)]
pub struct Running {
    /// The service's name.
    pub service: &'static str,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its process id.
    pub pid: u32,
    /// The URL of its metrics, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<String>,
    /// Whether it is the gateway or a backend.
    #[serde(skip)]
    pub kind: Kind,
}

// === impl Child ===

impl Child {
    /// Starts this binary again as the service. The listener becomes its standard input; this process keeps no copy,
    /// so that the port of a dead service is closed.
    pub(super) fn spawn(spec: LaunchSpec, metrics: Option<&MetricsPorts>) -> io::Result<Self> {
        let name = spec.service.name;
        let (parent, pipe) = parent_process::variable()?;
        let process = Command::new(std::env::current_exe()?)
            .arg(name)
            .args(&spec.args)
            .env(parent, pipe)
            // Each service has its own name in traces.
            .env_remove("OTEL_SERVICE_NAME")
            .envs(metrics.map(|ports| ports.variable(name)))
            .stdin(Stdio::from(OwnedFd::from(spec.listener)))
            // The terminal sends Ctrl-C to the whole process group; this process stops the services itself, in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let pid = process.id().expect("a process that was not waited for has an id");
        let metrics = metrics.and_then(|ports| ports.url(name));
        let running = Running { service: name, address: spec.address, pid, metrics, kind: spec.service.kind };
        Ok(Self { running, process, has_ended: false })
    }

    pub(super) fn name(&self) -> &'static str {
        self.running.service
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.running.address
    }

    pub(super) fn running(&self) -> Running {
        self.running.clone()
    }

    /// Waits until the process ends. Cancel safe.
    pub(super) async fn wait(&mut self) -> io::Result<ChildExit> {
        let status = self.process.wait().await?;
        self.has_ended = true;
        Ok(ChildExit { name: self.running.service, pid: self.running.pid, status })
    }

    /// Ends the process: with SIGTERM, and with SIGKILL if it still runs after `timeout`.
    pub(super) async fn stop(&mut self, timeout: Duration) -> io::Result<()> {
        if self.has_ended {
            return Ok(());
        }
        let Running { service, pid, .. } = self.running;
        if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
            // Fails if the process has just ended by itself, which is fine.
            let _ = kill_process(pid, Signal::TERM);
        }
        if let Ok(exit) = tokio::time::timeout(timeout, self.wait()).await {
            return exit.map(drop);
        }
        eprintln!("fanout: the {service} (process {pid}) does not end; it is killed");
        self.process.kill().await
    }
}
