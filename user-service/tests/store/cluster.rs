//! A private cluster of PostgreSQL from the machine's own packages.
//!
//! It lives as long as the process that started it: a shell stands between the two and
//! reads a pipe that only this process holds open. However the process ends, passed,
//! failed or killed, the pipe closes, and the shell stops the server and removes its files.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    os::unix::{
        fs::{MetadataExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

pub(crate) const USER: &str = "fanout";
pub(crate) const PASSWORD: &str = "s3cret";

/// Makes the cluster, says "ready", and ends with the pipe. Nobody may hear it: SIGPIPE
/// must not end it before it has cleaned up. Where ICU is built in, the
/// cluster sorts as people do: what relies on the order of bytes has to say so.
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
    /// Uid and gid under which the server runs, where it is not ours: it refuses root.
    owner: Option<(u32, u32)>,
    databases: AtomicU32,
    /// Holds the pipe.
    keeper: Child,
}

// === impl Cluster ===

impl Cluster {
    /// The cluster of this test binary, started by the first test that asks. None where
    /// PostgreSQL is not installed, which is said loudly.
    ///
    /// # Panics
    ///
    /// Where it cannot be started, or is not installed and `FANOUT_REQUIRE_POSTGRES` is 1.
    pub(crate) fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Cluster>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref()
    }

    /// A cluster of its own, for a test that stops it.
    pub(crate) fn start() -> Option<Self> {
        let Some(bin) = programs() else {
            assert!(
                std::env::var_os("FANOUT_REQUIRE_POSTGRES").is_none_or(|value| value != "1"),
                "FANOUT_REQUIRE_POSTGRES is 1, and PostgreSQL is not installed"
            );
            // Past the capture of the test harness: nobody should take this for a pass.
            std::io::stderr().write_all(b"SKIPPED a test with PostgreSQL: it is not installed\n").unwrap();
            return None;
        };
        // Another process may take the port before the server does.
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
        // Out of the terminal's reach: Ctrl-C must not stop it before it has cleaned up.
        let mut keeper = keeper.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let cluster = Self { bin: bin.to_owned(), dir, port, options, owner, databases: AtomicU32::new(0), keeper };
        (line == "ready\n").then_some(cluster)
    }

    /// The URL of a new, empty database.
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

    /// Stops the server as a crash would, connections and all.
    pub(crate) fn stop(&self) {
        self.control(&["-m", "immediate", "stop"]);
    }

    /// Starts the server again, where it was.
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
    /// Waits until the server is gone; the shared one is never dropped, and goes after
    /// the process.
    fn drop(&mut self) {
        // `wait` closes the pipe.
        self.keeper.wait().unwrap();
    }
}

/// Where `initdb` and its like are: the highest version of Debian's layout, or the PATH.
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

/// Uid and gid of the account that the package made.
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
