//! Databases that go away while the store is in use, and come back.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use service_kit::ReadinessCheck as _;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, SqliteConnection};
use tempfile::TempDir;
use user_service::{Store, StoreError, store::StoreReadiness};

use crate::{cluster::Cluster, new_user};

/// A store in a file, with one user.
struct Opened {
    store: Store,
    readiness: StoreReadiness,
    path: PathBuf,
    dir: TempDir,
}

// === impl Opened ===

impl Opened {
    async fn with_ada() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users.db");
        let store = open(&path).await;
        store.create(new_user("ada")).await.unwrap();
        let mut readiness = StoreReadiness::new(store.clone());
        readiness.check().await.unwrap();
        Self { store, readiness, path, dir }
    }

    /// Removes all files.
    fn remove(&self) {
        for suffix in SUFFIXES {
            fs::remove_file(with_suffix(&self.path, suffix)).unwrap();
        }
    }

    /// Checks that nothing is acknowledged, and that the service is not ready.
    async fn assert_gone(&mut self) {
        let error = self.store.create(new_user("nobody")).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
        let reason = self.readiness.check().await.unwrap_err().to_string();
        assert!(reason.contains("users.db") && !reason.contains('\n'), "{reason}");
    }

    /// Checks that these users, and one that is created now, are there for a process that starts later.
    async fn assert_keeps(mut self, ids: &[&str]) {
        self.readiness.check().await.unwrap();
        self.store.create(new_user("zuse")).await.unwrap();
        self.store.close().await;
        let later = open(&self.path).await;
        for id in ids.iter().chain(&["zuse"]) {
            assert!(later.get(id).await.unwrap().is_some(), "{id}");
        }
    }
}

/// The database, its log and the index of that.
const SUFFIXES: [&str; 3] = ["", "-wal", "-shm"];

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    format!("{}{suffix}", path.display()).into()
}

/// Moves all files of a database.
fn rename(from: &Path, to: &Path) {
    for suffix in SUFFIXES {
        fs::rename(with_suffix(from, suffix), with_suffix(to, suffix)).unwrap();
    }
}

async fn open(path: &Path) -> Store {
    Store::open(&format!("sqlite:{}", path.display()).parse().unwrap()).await.unwrap()
}

#[tokio::test]
async fn a_removed_file_is_not_written_until_it_is_back() {
    let mut opened = Opened::with_ada().await;
    let elsewhere = opened.dir.path().join("elsewhere");
    fs::rename(&opened.path, &elsewhere).unwrap();
    opened.assert_gone().await;
    fs::rename(&elsewhere, &opened.path).unwrap();
    opened.assert_keeps(&["ada"]).await;
}

#[tokio::test]
async fn a_file_that_was_replaced_is_opened_again() {
    let mut opened = Opened::with_ada().await;
    let backup = opened.dir.path().join("backup");
    let mut connection = SqliteConnection::connect(&format!("sqlite:{}", opened.path.display())).await.unwrap();
    connection.execute(AssertSqlSafe(format!("VACUUM INTO '{}'", backup.display()))).await.unwrap();
    connection.close().await.unwrap();
    opened.store.create(new_user("grace")).await.unwrap();

    opened.remove();
    opened.assert_gone().await;
    fs::copy(&backup, &opened.path).unwrap();
    opened.assert_gone().await;
    opened.readiness.check().await.expect("it is the same as at the last check, thus complete");
    assert_eq!(opened.store.get("grace").await.unwrap(), None, "the backup is older");
    opened.assert_keeps(&["ada"]).await;
}

#[tokio::test]
async fn an_empty_file_is_not_taken_for_the_database() {
    let mut opened = Opened::with_ada().await;
    opened.remove();
    fs::write(&opened.path, "").unwrap();
    for _ in 0..3 {
        opened.assert_gone().await;
    }
    assert_eq!(fs::metadata(&opened.path).unwrap().len(), 0, "and is left alone");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_not_opened() {
    let mut opened = Opened::with_ada().await;
    let elsewhere = opened.dir.path().join("elsewhere");
    rename(&opened.path, &elsewhere);
    fs::write(&opened.path, "a letter to a friend\n".repeat(1000)).unwrap();
    for _ in 0..3 {
        opened.assert_gone().await;
    }
    rename(&elsewhere, &opened.path);
    opened.readiness.check().await.unwrap_err();
    opened.readiness.check().await.expect("it was closed, and is opened again");
    opened.assert_keeps(&["ada"]).await;
}

#[tokio::test]
async fn a_log_that_was_removed_loses_nothing() {
    for suffix in ["-wal", "-shm"] {
        let mut opened = Opened::with_ada().await;
        fs::remove_file(with_suffix(&opened.path, suffix)).unwrap();
        opened.assert_gone().await;
        opened.readiness.check().await.expect("opened again");
        opened.assert_keeps(&["ada"]).await;
    }
}

#[tokio::test]
async fn a_truncated_file_is_not_written() {
    let mut opened = Opened::with_ada().await;
    // Another process: one that closes a file loses all its locks on it.
    assert!(Command::new("truncate").args(["-s", "0"]).arg(&opened.path).status().unwrap().success());
    opened.assert_gone().await;
}

#[tokio::test]
async fn a_read_only_file_is_read_but_not_written() {
    let mut opened = Opened::with_ada().await;
    let set_mode = |mode| fs::set_permissions(&opened.path, fs::Permissions::from_mode(mode)).unwrap();
    set_mode(0o444);
    let error = opened.store.create(new_user("grace")).await.unwrap_err();
    assert!(matches!(error, StoreError::ReadOnly { .. }), "{error:?}");
    assert!(opened.store.get("ada").await.unwrap().is_some());
    assert_eq!(opened.store.get("grace").await.unwrap(), None);
    let reason = opened.readiness.check().await.unwrap_err().to_string();
    assert!(reason.contains("read-only"), "{reason}");
    set_mode(0o644);
    opened.assert_keeps(&["ada"]).await;
}

#[tokio::test]
async fn a_postgres_without_writes_or_without_users_is_not_ready() {
    let Some(cluster) = Cluster::shared() else { return };
    let url = cluster.database().await;
    let name = url.rsplit_once('/').unwrap().1;
    let store = Store::open(&url.parse().unwrap()).await.unwrap();
    let ready = async || StoreReadiness::new(store.clone()).check().await.map_err(|error| error.to_string());
    ready().await.unwrap();
    let mut admin = PgConnection::connect(&cluster.url("postgres")).await.unwrap();
    let read_only = format!("ALTER DATABASE {name} SET default_transaction_read_only = ");
    admin.execute(AssertSqlSafe(format!("{read_only} on"))).await.unwrap();
    let reason = ready().await.unwrap_err();
    assert!(reason.contains(name) && reason.contains("transaction_read_only is on"), "{reason}");
    admin.execute(AssertSqlSafe(format!("{read_only} off"))).await.unwrap();
    ready().await.unwrap();

    let mut inside = PgConnection::connect(&url).await.unwrap();
    inside.execute("ALTER TABLE users RENAME TO others").await.unwrap();
    let reason = ready().await.unwrap_err();
    assert!(reason.contains("no table of users"), "{reason}");
    inside.execute("ALTER TABLE others RENAME TO users").await.unwrap();
    ready().await.unwrap();
}

#[tokio::test]
async fn a_session_that_may_not_write_is_not_asked_again() {
    let Some(cluster) = Cluster::shared() else { return };
    let url = cluster.database().await;
    let name = url.rsplit_once('/').unwrap().1;
    let mut readiness = StoreReadiness::new(Store::open(&url.parse().unwrap()).await.unwrap());
    let mut admin = PgConnection::connect(&cluster.url("postgres")).await.unwrap();
    for (read_only, is_ready) in [("on", false), ("off", true)] {
        // Counts for sessions that begin later.
        let statement = format!("ALTER DATABASE {name} SET default_transaction_read_only = {read_only}");
        admin.execute(AssertSqlSafe(statement)).await.unwrap();
        assert_eq!(readiness.check().await.is_ok(), is_ready, "{read_only}");
    }
}

#[tokio::test]
async fn a_connection_that_was_closed_is_no_failure() {
    let Some(cluster) = Cluster::shared() else { return };
    let url = cluster.database().await;
    let name = url.rsplit_once('/').unwrap().1;
    let mut readiness = StoreReadiness::new(Store::open(&url.parse().unwrap()).await.unwrap());
    readiness.check().await.unwrap();
    let mut admin = PgConnection::connect(&cluster.url("postgres")).await.unwrap();
    let all = format!("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{name}'");
    admin.execute(AssertSqlSafe(all)).await.unwrap();
    readiness.check().await.expect("the server is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_stops_is_not_ready_until_it_is_back() {
    let Some(cluster) = Cluster::start() else { return };
    let store = Store::open(&cluster.database().await.parse().unwrap()).await.unwrap();
    let mut readiness = StoreReadiness::new(store);
    readiness.check().await.unwrap();
    readiness.check().await.expect("on the same connection");
    cluster.stop();
    for _ in 0..2 {
        let reason = readiness.check().await.unwrap_err().to_string();
        assert!(reason.contains("does not answer"), "{reason}");
    }
    cluster.start_again();
    readiness.check().await.unwrap();
}
