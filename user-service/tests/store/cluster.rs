//! A private cluster of PostgreSQL from the machine's own packages.
//!
//! It ends with the process that started it. A shell between the two reads a pipe that only this process holds open.
//! However the process ends, the pipe is closed, and the shell stops the server and removes its files.

use std::{
    fs::{self, OpenOptions},
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

/// How long creating and starting it may take.
const START_TIMEOUT: Duration = Duration::from_mins(1);

pub(crate) const USER: &str = "fanout";
pub(crate) const PASSWORD: &str = "s3cret";

/// Creates the cluster, prints "ready", and cleans up when the pipe is closed. Ignores SIGPIPE, which must not end it
/// before that. If ICU is built in, the cluster sorts by a natural language, so that queries that rely on the order of
/// bytes must ask for it.
const KEEPER: &str = r#"
trap '' PIPE
cd "$DIR" || exit 1
init() { "$BIN/initdb" -D data -U "$PGUSER" --pwfile=password -A scram-sha-256 -E UTF8 --no-sync "$@" >initdb.log 2>&1; }
init --locale=C.UTF-8 --locale-provider=icu --icu-locale=en-US || { rm -rf data; init --locale=C.UTF-8; } || { cat initdb.log >&2; exit 1; }
"$BIN/pg_ctl" -D data -s -w -l server.log -o "$OPTIONS" start </dev/null || { cat server.log >&2; }
[ -f data/postmaster.pid ] && echo ready
cat >/dev/null
"$BIN/pg_ctl" -D data -s -w -m immediate stop
cd / && rm -rf "$DIR"
"#;

/// A running cluster.
pub(crate) struct Cluster {
    bin: PathBuf,
    dir: PathBuf,
    port: u16,
    options: String,
    /// Uid and gid of the server if they are not this process's: it does not run as root.
    owner: Option<(u32, u32)>,
    databases: AtomicU32,
    /// Holds the pipe open.
    keeper: Child,
}

// === impl Cluster ===

impl Cluster {
    /// Returns the cluster of this test binary, which the first caller starts. Prints a warning and returns `None` if
    /// PostgreSQL is not installed.
    ///
    /// # Panics
    ///
    /// Panics if it cannot be started, or if it is not installed and `FANOUT_REQUIRE_POSTGRES` is 1.
    pub(crate) fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Cluster>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref()
    }

    /// Starts a cluster for a test that stops it.
    pub(crate) fn start() -> Option<Self> {
        let Some(bin) = programs() else {
            assert!(
                std::env::var_os("FANOUT_REQUIRE_POSTGRES").is_none_or(|value| value != "1"),
                "FANOUT_REQUIRE_POSTGRES is 1, and PostgreSQL is not installed"
            );
            // The test harness does not capture this: the test must not look passed.
            std::io::stderr().write_all(b"SKIPPED a test with PostgreSQL: it is not installed\n").unwrap();
            return None;
        };
        // Another process may bind the port before the server does.
        Some((0..3).find_map(|_| Self::try_start(&bin)).expect("PostgreSQL starts"))
    }

    fn try_start(bin: &Path) -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let dir = tempfile::Builder::new().prefix("fanout-postgres-").tempdir().unwrap().keep();
        fs::write(dir.join("password"), PASSWORD).unwrap();
        let owner = (fs::metadata(&dir).unwrap().uid() == 0).then(server_account);
        if let Some((uid, gid)) = owner {
            chown(&dir, Some(uid), Some(gid)).unwrap();
            chown(dir.join("password"), Some(uid), Some(gid)).unwrap();
        }
        let options = format!("-h 127.0.0.1 -p {port} -k {} -F -c max_connections=200", dir.display());
        let mut keeper = as_owner(Command::new("sh"), owner);
        keeper.args(["-c", KEEPER]).env("BIN", bin).env("DIR", &dir).env("PGUSER", USER).env("OPTIONS", &options);
        // In a group of its own: Ctrl-C in the terminal must not stop it before it has cleaned up.
        let mut keeper = keeper.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(keeper.stdout.take().unwrap());
        let (sender, started) = mpsc::channel();
        thread::spawn(move || {
            let mut line = String::new();
            let _ = sender.send(stdout.read_line(&mut line).map(|_| line));
        });
        let line = started.recv_timeout(START_TIMEOUT).expect("PostgreSQL has not started in time").unwrap();
        let cluster = Self { bin: bin.to_owned(), dir, port, options, owner, databases: AtomicU32::new(0), keeper };
        (line == "ready\n").then_some(cluster)
    }

    /// Creates an empty database, and returns its URL.
    pub(crate) async fn database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut connection = PgConnection::connect(&self.url("postgres")).await.unwrap();
        connection.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
        connection.close().await.unwrap();
        self.url(&name)
    }

    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{}/{database}", self.port)
    }

    /// Writes files to the data directory, appends settings, and restarts the server.
    pub(crate) fn configure(&self, files: &[(&str, &str)], settings: &str) {
        self.stop();
        let data = self.dir.join("data");
        for (name, text) in files {
            let path = data.join(name);
            fs::write(&path, text).unwrap();
            // The server refuses a key that others may read.
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            if let Some((uid, gid)) = self.owner {
                chown(&path, Some(uid), Some(gid)).unwrap();
            }
        }
        let mut configuration = OpenOptions::new().append(true).open(data.join("postgresql.conf")).unwrap();
        configuration.write_all(settings.as_bytes()).unwrap();
        self.start_again();
    }

    /// Stops the server like a crash: closes all connections.
    pub(crate) fn stop(&self) {
        self.control(&["-m", "immediate", "stop"]);
    }

    /// Starts the server again at the same port.
    pub(crate) fn start_again(&self) {
        self.control(&["-l", "server.log", "-o", &self.options, "start"]);
    }

    fn control(&self, arguments: &[&str]) {
        let mut command = as_owner(Command::new(self.bin.join("pg_ctl")), self.owner);
        command.args(["-D", "data", "-s", "-w"]).args(arguments).current_dir(&self.dir).stdin(Stdio::null());
        assert!(command.status().unwrap().success(), "pg_ctl {arguments:?}");
    }
}

impl Drop for Cluster {
    /// Waits until the server has ended. The shared one is never dropped, and ends after the process.
    fn drop(&mut self) {
        // `wait` closes the pipe.
        self.keeper.wait().unwrap();
    }
}

/// Returns the directory of `initdb` and the other programs: the highest version in Debian's layout, or the PATH.
fn programs() -> Option<PathBuf> {
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let versions = debian.filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path())));
    let newest = versions.max().map(|(_, path)| path.join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    newest
        .into_iter()
        .chain(std::env::split_paths(&path))
        .find(|dir| ["initdb", "pg_ctl", "postgres"].iter().all(|program| dir.join(program).is_file()))
}

/// Returns uid and gid of the account that the package has created.
fn server_account() -> (u32, u32) {
    let accounts = fs::read_to_string("/etc/passwd").unwrap();
    let account = accounts.lines().find(|line| line.starts_with("postgres:"));
    let fields: Vec<&str> = account.expect("root needs an account postgres").split(':').collect();
    (fields[2].parse().unwrap(), fields[3].parse().unwrap())
}

fn as_owner(mut command: Command, owner: Option<(u32, u32)>) -> Command {
    if let Some((uid, gid)) = owner {
        command.uid(uid).gid(gid);
    }
    command
}
