//! A service's process.

use std::{
    io,
    net::SocketAddr,
    process::{ExitStatus, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use tokio::{
    process::{Child as Process, Command},
    sync::{mpsc, watch},
    task::JoinSet,
};

use crate::{
    parent_process,
    services::Kind,
    up::{
        args::LogView,
        child_exit::ChildExit,
        console::Message,
        launch::LaunchSpec,
        log::pipe::{self, DrainStatus, LineSender},
        metrics::MetricsPorts,
    },
};

/// A service's process, running or ended.
#[derive(Debug)]
pub(super) struct Child {
    running: Running,
    process: Process,
    /// Read what it prints.
    readers: JoinSet<()>,
    drain: watch::Receiver<DrainStatus>,
    /// How it ended, once everything that it printed is read.
    ended: Option<ExitStatus>,
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

/// What all services are started with.
pub(super) struct SpawnContext<'a> {
    pub(super) metrics: Option<&'a MetricsPorts>,
    pub(super) view: &'a LogView,
    /// Whether log lines have colours.
    pub(super) colour: bool,
    pub(super) console: mpsc::Sender<Message>,
}

// === impl Child ===

impl Child {
    /// Starts this binary again as the service. The listener becomes its standard input; this process keeps no copy,
    /// so that the port of a dead service is closed. What it prints goes to the console.
    pub(super) fn spawn(spec: LaunchSpec, context: &SpawnContext<'_>) -> io::Result<Self> {
        let name = spec.name;
        let (parent, pipe) = parent_process::variable()?;
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg(name)
            .args(&spec.args)
            .env(parent, pipe)
            // Each service has its own name in traces.
            .env_remove("OTEL_SERVICE_NAME")
            .envs(context.metrics.map(|ports| ports.variable(name)))
            .envs(spec.environment)
            .stdin(Stdio::from(spec.input))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // The terminal sends Ctrl-C to the whole process group; this process stops the services itself, in order.
            .process_group(0)
            .kill_on_drop(true);
        if context.colour {
            command.env_remove("NO_COLOR").env("CLICOLOR_FORCE", "1");
        } else {
            command.env_remove("CLICOLOR_FORCE");
        }
        let mut process = command.spawn()?;
        let (status, drain) = watch::channel(DrainStatus::default());
        let mut readers = JoinSet::new();
        let lines = || LineSender::new(name, context.console.clone());
        if let Some(log) = process.stdout.take() {
            readers.spawn(pipe::read_log(log, context.view.clone(), lines(), status));
        }
        if let Some(errors) = process.stderr.take() {
            readers.spawn(pipe::read_errors(errors, lines()));
        }
        let pid = process.id().expect("a process that was not waited for has an id");
        let metrics = context.metrics.and_then(|ports| ports.url(name));
        let running = Running { service: name, address: spec.address, pid, metrics, kind: spec.kind };
        Ok(Self { running, process, readers, drain, ended: None })
    }

    /// Returns where the service runs.
    pub(super) fn running(&self) -> &Running {
        &self.running
    }

    /// Returns what the service's log says about its drain.
    pub(super) fn drain(&self) -> watch::Receiver<DrainStatus> {
        self.drain.clone()
    }

    /// Waits until the process has ended and its last words are read. Cancel safe.
    pub(super) async fn wait(&mut self) -> io::Result<ChildExit> {
        let status = if let Some(status) = self.ended {
            status
        } else {
            let status = self.process.wait().await?;
            while self.readers.join_next().await.is_some() {}
            *self.ended.insert(status)
        };
        Ok(ChildExit { name: self.running.service, pid: self.running.pid, status })
    }

    /// Sends these signals, unless the process has ended.
    pub(super) fn signal(&self, signals: &[Signal]) {
        // No id: it was waited for, and another process may have its id by now.
        let Some(pid) = self.process.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw) else {
            return;
        };
        for signal in signals {
            // Fails if the process has just ended by itself, which is fine.
            let _ = kill_process(pid, *signal);
        }
    }

    /// Kills the process, and waits for its end.
    pub(super) async fn kill(&mut self) -> io::Result<ChildExit> {
        self.signal(&[Signal::KILL]);
        self.wait().await
    }
}
