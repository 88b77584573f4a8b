//! Databases that are damaged, closed, missing or stopped.

use std::{
    fs,
    io::{Seek as _, SeekFrom, Write as _},
    net::TcpListener,
    path::Path,
    time::{Duration, Instant},
};

use sqlx::Connection as _;
use user_service::{Database, Store, StoreError, user::PageSize};

use crate::{
    Fresh,
    cluster::{Cluster, PASSWORD, USER},
    new_user,
};

fn at(path: &Path) -> Database {
    format!("sqlite:{}", path.display()).parse().unwrap()
}

/// Opens a database that cannot be opened; checks the error and returns it.
pub(crate) async fn open_error(database: &Database) -> StoreError {
    let error = Store::open(database).await.unwrap_err();
    let told = error.to_string();
    assert!(told.contains(&database.to_string()) && !told.contains('\n'), "one line that names the database: {told}");
    assert!(!format!("{error:?} {told}").contains(PASSWORD), "{told}");
    error
}

#[tokio::test]
async fn a_file_that_is_not_a_database_is_corrupt() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("users.db");
    let text = "this is a letter to a friend and not a database\n".repeat(100);
    fs::write(&path, &text).unwrap();
    let error = open_error(&at(&path)).await;
    assert!(matches!(error, StoreError::Corrupt { .. }) && !error.is_transient(), "{error:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), text, "and is left alone");
}

#[tokio::test]
async fn a_damaged_schema_is_corrupt_at_start() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("users.db");
    Store::open(&at(&path)).await.unwrap().close().await;
    // Overwrites the tree on the first page, but not the header.
    overwrite(&path, 100, 3900);
    let error = open_error(&at(&path)).await;
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
}

#[tokio::test]
async fn damage_that_is_found_later_is_corrupt_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("users.db");
    let store = Store::open(&at(&path)).await.unwrap();
    for number in 0..500 {
        store.create(new_user(&format!("user-{number}"))).await.unwrap();
    }
    store.close().await;
    let pages = fs::metadata(&path).unwrap().len() / 4096;
    assert!(pages > 8, "{pages}");
    // The schema is on the first page; the rows are on the last ones.
    overwrite(&path, 5 * 4096, usize::try_from((pages - 5) * 4096).unwrap());
    let store = Store::open(&at(&path)).await.unwrap();
    let error = store.list(PageSize::MAX, None).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }) && !error.is_transient(), "{error:?}");
}

#[tokio::test]
async fn a_schema_of_a_newer_version_is_unusable() {
    let fresh = Fresh::sqlite();
    fresh.open().await.close().await;
    let mut connection = sqlx::SqliteConnection::connect(&fresh.database.to_string()).await.unwrap();
    let newer = "INSERT INTO _sqlx_migrations VALUES (99, 'newer', CURRENT_TIMESTAMP, TRUE, x'00', 0)";
    sqlx::query(newer).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let error = open_error(&fresh.database).await;
    assert!(matches!(error, StoreError::Unusable { .. }), "{error:?}");
}

fn overwrite(path: &Path, from: u64, len: usize) {
    let mut file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(from)).unwrap();
    file.write_all(&vec![0xa5; len]).unwrap();
}

#[tokio::test]
async fn a_missing_directory_is_created() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a/b c/users.db");
    let store = Store::open(&at(&path)).await.unwrap();
    store.create(new_user("ada")).await.unwrap();
    assert!(path.is_file());
}

#[tokio::test]
async fn a_path_that_cannot_be_a_file_is_unusable() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    // Not even root can create a file in /proc, in a file, or in place of a directory.
    for path in [Path::new("/proc/fanout/users.db"), Path::new("/proc/users.db"), &file.join("users.db"), dir.path()] {
        let error = open_error(&at(path)).await;
        assert!(matches!(error, StoreError::Unusable { .. }) && !error.is_transient(), "{error:?}");
    }
}

#[tokio::test]
async fn a_read_only_file_is_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("users.db");
    fs::write(&path, "").unwrap();
    let mut permissions = fs::metadata(&path).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&path, permissions).unwrap();
    let error = open_error(&at(&path)).await;
    assert!(matches!(error, StoreError::ReadOnly { .. }) && !error.is_transient(), "{error:?}");
}

#[tokio::test]
async fn a_postgres_that_does_not_listen_is_transient_and_reported_at_once() {
    // Nothing listens at the address of a dropped listener.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for address in [format!("127.0.0.1:{port}"), "nowhere.invalid".to_owned()] {
        let started = Instant::now();
        let error = open_error(&format!("postgres://{USER}:{PASSWORD}@{address}/users").parse().unwrap()).await;
        assert!(matches!(error, StoreError::Unavailable { .. }) && error.is_transient(), "{error:?}");
        assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
    }
}

#[tokio::test]
async fn a_postgres_that_does_not_answer_is_transient_after_the_timeout() {
    // The kernel accepts the connection, and nothing answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let error = open_error(&format!("postgres://{USER}:{PASSWORD}@{address}/users").parse().unwrap()).await;
    assert!(error.is_transient(), "{error:?}");
}

#[tokio::test]
async fn a_wrong_password_or_a_missing_database_is_not_transient() {
    let Some(cluster) = Cluster::shared() else { return };
    let wrong_password = cluster.url("postgres").replace(PASSWORD, "wrong");
    let missing = cluster.url("missing");
    for url in [wrong_password, missing] {
        let error = open_error(&url.parse().unwrap()).await;
        assert!(matches!(error, StoreError::Unusable { .. }) && !error.is_transient(), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_restarts_needs_no_restart_of_the_service() {
    let Some(cluster) = Cluster::start() else { return };
    let store = Store::open(&cluster.database().await.parse().unwrap()).await.unwrap();
    let created = store.create(new_user("ada")).await.unwrap();
    // Opens several connections, all of which are dead in the pool after the stop. Not more: each derives a key from the
    // password, which takes long without optimization, and all have to be open within the 2 s that a query may wait.
    let gets: Vec<_> = (0..3)
        .map(|_| {
            tokio::spawn({
                let store = store.clone();
                async move { store.get("ada").await }
            })
        })
        .collect();
    for get in gets {
        assert_eq!(get.await.unwrap().unwrap().as_ref(), Some(&created));
    }

    cluster.stop();
    let started = Instant::now();
    for error in [
        store.get("ada").await.unwrap_err(),
        store.create(new_user("grace")).await.unwrap_err(),
        store.ping().await.unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::Unavailable { .. }) && error.is_transient(), "{error:?}");
    }
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());

    cluster.start_again();
    assert_eq!(store.get("ada").await.unwrap(), Some(created), "the very first query");
    store.create(new_user("grace")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_works_after_a_cancelled_query() {
    let fresh = Fresh::sqlite();
    let mut stores = vec![fresh.open().await];
    if let Some(cluster) = Cluster::shared() {
        stores.push(Store::open(&cluster.database().await.parse().unwrap()).await.unwrap());
    }
    for store in stores {
        for number in 0..200_u64 {
            let create = store.create(new_user(&format!("u{number}")));
            let _ = tokio::time::timeout(Duration::from_micros(number * 5), create).await;
        }
        for number in 0..200 {
            let id = format!("u{number}");
            match store.create(new_user(&id)).await {
                Ok(_) | Err(StoreError::Exists { .. }) => {}
                Err(error) => panic!("{id}: {error}"),
            }
        }
        assert_eq!(store.list(PageSize::MAX, None).await.unwrap().users.len(), 200);
    }
}
