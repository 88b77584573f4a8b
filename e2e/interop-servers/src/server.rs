//! A server process and where its runtime is installed.

use std::{
    collections::HashSet,
    env,
    io::{self, BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::{OnceLock, mpsc},
    thread,
    time::Duration,
};

use tokio::sync::watch;

/// How long a server may take to start.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// A server's language and gRPC runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// `grpcio`.
    Python,
    /// `@grpc/grpc-js`.
    Node,
}

/// What a server reports about a call that carries the metadata `x-call-id`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// The call with this id has reached its handler.
    Begun(String),
    /// The call with this id was cancelled.
    Cancelled(String),
}

/// A running server. Its process ends with this value or with this process, whichever is first.
pub struct Server {
    port: u16,
    events: watch::Receiver<HashSet<Event>>,
    /// Keeps the server's standard input open; the server ends when it closes.
    child: Child,
}

// === impl Runtime ===

impl Runtime {
    /// All runtimes, in the order of the table.
    pub const ALL: [Self; 2] = [Self::Python, Self::Node];

    /// The package's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Python => "Python grpcio",
            Self::Node => "Node @grpc/grpc-js",
        }
    }

    /// Returns the server of this process, started by the first call, or `None` if the runtime is
    /// not installed, which is also printed.
    ///
    /// # Panics
    ///
    /// Panics if the server does not start, or if the runtime is not installed and
    /// `FANOUT_REQUIRE_INTEROP` is 1.
    pub fn server(self) -> Option<&'static Server> {
        static PYTHON: OnceLock<Option<Server>> = OnceLock::new();
        static NODE: OnceLock<Option<Server>> = OnceLock::new();
        let shared = match self {
            Self::Python => &PYTHON,
            Self::Node => &NODE,
        };
        shared.get_or_init(|| self.start_if_installed()).as_ref()
    }

    fn start_if_installed(self) -> Option<Server> {
        let dir = install_dir();
        if let Some(command) = self.command(&dir) {
            return Some(Server::start(command).expect("the server starts"));
        }
        let missing = format!("{} is not in {}: run e2e/interop-servers/setup.sh", self.name(), dir.display());
        assert!(
            env::var_os("FANOUT_REQUIRE_INTEROP").is_none_or(|value| value != "1"),
            "FANOUT_REQUIRE_INTEROP is 1, and {missing}"
        );
        // Written directly, because the test harness captures what `eprintln!` prints.
        let _ = writeln!(io::stderr(), "SKIPPED interop tests: {missing}");
        None
    }

    fn command(self, dir: &Path) -> Option<Command> {
        let servers = Path::new(env!("CARGO_MANIFEST_DIR")).join("servers");
        let finished = dir.join("installed");
        let mut command = match self {
            Self::Python => Command::new(dir.join("venv/bin/python")),
            Self::Node => Command::new("node"),
        };
        match self {
            Self::Python => command.arg(servers.join("server.py")),
            Self::Node => command.arg(servers.join("server.js")).env("NODE_PATH", dir.join("node_modules")),
        };
        finished.exists().then_some(command)
    }
}

/// The directory that `setup.sh` installed into: `FANOUT_INTEROP_DIR`, or the one that CI uses.
fn install_dir() -> PathBuf {
    env::var_os("FANOUT_INTEROP_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/ci/interop-servers"), PathBuf::from)
}

// === impl Event ===

impl Event {
    fn parse(line: &str) -> Option<Self> {
        match line.split_once(' ')? {
            ("begun", id) => Some(Self::Begun(id.to_owned())),
            ("cancelled", id) => Some(Self::Cancelled(id.to_owned())),
            _ => None,
        }
    }
}

// === impl Server ===

impl Server {
    fn start(mut command: Command) -> io::Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().expect("standard output is a pipe"));
        let (sender, events) = watch::channel(HashSet::new());
        let (first_line, started) = mpsc::channel();
        thread::spawn(move || {
            let mut first = String::new();
            let read = lines.read_line(&mut first);
            let _ = first_line.send(read.map(|_| first));
            collect(lines, &sender);
        });
        let late = |_| io::Error::other(format!("the server has not printed its port within {START_TIMEOUT:?}"));
        let first = started.recv_timeout(START_TIMEOUT).map_err(late)??;
        let port = first.strip_prefix("listening ").and_then(|port| port.trim().parse().ok());
        let Some(port) = port else {
            return Err(io::Error::other(format!("the server printed {first:?} instead of its port")));
        };
        Ok(Self { port, events, child })
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Waits until the server has reported this event.
    ///
    /// # Panics
    ///
    /// Panics if the server ends first.
    pub async fn reported(&self, event: &Event) {
        let mut events = self.events.clone();
        events.wait_for(|events| events.contains(event)).await.expect("the server runs");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Collects the events in the server's output until it ends.
fn collect(lines: BufReader<ChildStdout>, events: &watch::Sender<HashSet<Event>>) {
    for line in lines.lines().map_while(Result::ok) {
        if let Some(event) = Event::parse(&line) {
            events.send_modify(|events| {
                events.insert(event);
            });
        }
    }
}
