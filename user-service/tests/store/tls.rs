//! TLS to PostgreSQL: what each `sslmode` accepts, and what is said if it does not.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
    sync::Arc,
};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, query_scalar};
use tempfile::TempDir;
use tokio::sync::OnceCell;
use user_service::{Store, StoreError};

use crate::{
    authority::{Authority, Issued},
    cluster::{Cluster, PASSWORD, USER},
    failures::open_error,
};

/// Databases whose names say how they may be reached. The others may be reached in any way.
const RULES: &str = "\
hostssl with_certificate all all scram-sha-256 clientcert=verify-ca
hostssl encrypted all all scram-sha-256
hostnossl plain all all scram-sha-256
host with_certificate,encrypted,plain all all reject
host all all all scram-sha-256
";
const DATABASES: [&str; 4] = ["with_certificate", "encrypted", "plain", "unrestricted"];

/// A server with a certificate for "localhost", and the files of one test.
struct Server {
    cluster: Arc<Cluster>,
    authority: Arc<Authority>,
    dir: TempDir,
}

// === impl Server ===

impl Server {
    /// Returns the server that all tests share, which the first caller starts.
    async fn shared() -> Option<Self> {
        static SHARED: OnceCell<Option<(Arc<Cluster>, Arc<Authority>)>> = OnceCell::const_new();
        let start = || async {
            let server = Self::start(|authority| authority.issue("localhost")).await?;
            Some((server.cluster, server.authority))
        };
        let (cluster, authority) = SHARED.get_or_init(start).await.clone()?;
        Some(Self { cluster, authority, dir: tempfile::tempdir().unwrap() })
    }

    async fn start(issue: impl FnOnce(&Authority) -> Issued) -> Option<Self> {
        let cluster = Cluster::start()?;
        let mut connection = PgConnection::connect(&cluster.url("postgres")).await.unwrap();
        for database in DATABASES {
            connection.execute(AssertSqlSafe(format!("CREATE DATABASE {database}"))).await.unwrap();
        }
        connection.close().await.unwrap();
        let authority = Authority::new("the authority");
        let Issued { certificate, key } = issue(&authority);
        let files = [
            ("server.crt", certificate.as_str()),
            ("server.key", &key),
            ("root.crt", &authority.pem),
            ("pg_hba.conf", RULES),
        ];
        cluster.configure(&files, "ssl = on\nssl_ca_file = 'root.crt'\n");
        Some(Self { cluster: Arc::new(cluster), authority: Arc::new(authority), dir: tempfile::tempdir().unwrap() })
    }

    /// Returns a URL with these parameters, by the name that the certificate is for.
    fn url(&self, database: &str, parameters: &str) -> String {
        let url = self.cluster.url(database).replace("127.0.0.1", "localhost");
        format!("{url}?{parameters}")
    }

    /// Writes a file, and returns its path.
    fn file(&self, name: &str, text: &str) -> String {
        let path: PathBuf = self.dir.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn root(&self) -> String {
        self.file("root.pem", &self.authority.pem)
    }

    /// Returns the parameters for a client's certificate.
    fn identity(&self, issued: &Issued) -> String {
        let certificate = self.file("client.pem", &issued.certificate);
        format!("sslcert={certificate}&sslkey={}", self.file("client.key", &issued.key))
    }

    /// Opens a database, and returns whether its connections are encrypted.
    async fn is_encrypted(&self, url: &str) -> bool {
        let store = Store::open(&url.parse().unwrap()).await.unwrap_or_else(|error| panic!("{url}: {error}"));
        store.ping().await.unwrap();
        let database = url.split('?').next().unwrap().rsplit('/').next().unwrap();
        let mut admin = PgConnection::connect(&self.cluster.url("postgres")).await.unwrap();
        let encrypted = "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                         WHERE datname = $1 AND application_name = 'fanout-user-service' \
                         ORDER BY backend_start DESC LIMIT 1";
        let encrypted: bool = query_scalar(encrypted).bind(database).fetch_one(&mut admin).await.unwrap();
        store.close().await;
        admin.close().await.unwrap();
        encrypted
    }
}

/// Checks that a database cannot be opened, and that waiting does not help.
async fn assert_refused(url: &str, reason: &str) {
    let error = open_error(&url.parse().unwrap()).await;
    assert!(matches!(error, StoreError::Unusable { .. }) && !error.is_transient(), "{url}: {error:?}");
    assert!(error.to_string().contains(reason), "{url}: {error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_mode_accepts_what_libpq_accepts() {
    let Some(server) = Server::shared().await else { return };
    let root = server.root();
    for (database, parameters, encrypted) in [
        ("unrestricted", "", true),
        ("unrestricted", "sslmode=disable", false),
        ("unrestricted", "sslmode=allow", false),
        ("unrestricted", "sslmode=prefer", true),
        ("unrestricted", "sslmode=require", true),
        ("unrestricted", &format!("sslmode=require&sslrootcert={root}"), true),
        ("unrestricted", &format!("sslmode=verify-ca&sslrootcert={root}"), true),
        ("unrestricted", &format!("sslmode=verify-full&sslrootcert={root}"), true),
        ("encrypted", "sslmode=allow", true),
        ("plain", "sslmode=prefer", false),
        ("plain", "sslmode=allow", false),
    ] {
        let url = server.url(database, parameters);
        assert_eq!(server.is_encrypted(&url).await, encrypted, "{url}");
    }
    assert_refused(&server.url("encrypted", "sslmode=disable"), "rejects").await;
    assert_refused(&server.url("plain", "sslmode=require"), "rejects").await;
    // With and without encryption: the error is that of the connection with it.
    let wrong_password = server.url("unrestricted", "sslmode=prefer").replace(PASSWORD, "wrong");
    assert_refused(&wrong_password, "password authentication failed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_verified() {
    let Some(server) = Server::shared().await else { return };
    let root = server.root();
    let other = server.file("other.pem", &Authority::new("another authority").pem);
    let by_address = |url: String| url.replace("localhost", "127.0.0.1");

    let full = by_address(server.url("unrestricted", &format!("sslmode=verify-full&sslrootcert={root}")));
    assert_refused(&full, "\"127.0.0.1\"").await;
    let ca = by_address(server.url("encrypted", &format!("sslmode=verify-ca&sslrootcert={root}")));
    assert!(server.is_encrypted(&ca).await, "the name does not count");
    for mode in ["require", "verify-ca", "verify-full"] {
        let url = server.url("unrestricted", &format!("sslmode={mode}&sslrootcert={other}"));
        assert_refused(&url, "unknown authority").await;
    }
    assert_refused(&server.url("unrestricted", "sslmode=verify-full"), "unknown authority").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_is_refused() {
    let Some(server) = Server::start(|authority| authority.issue_expired("localhost")).await else { return };
    let root = server.root();
    let url = server.url("unrestricted", &format!("sslmode=verify-full&sslrootcert={root}"));
    assert_refused(&url, "certificate expired").await;
    assert!(server.is_encrypted(&server.url("unrestricted", "sslmode=require")).await, "it verifies nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_shows_its_certificate() {
    let Some(server) = Server::shared().await else { return };
    let base = format!("sslmode=verify-full&sslrootcert={}", server.root());
    assert_refused(&server.url("with_certificate", &base), "client certificate").await;
    let identity = server.identity(&server.authority.issue(USER));
    assert!(server.is_encrypted(&server.url("with_certificate", &format!("{base}&{identity}"))).await);
    let foreign = server.identity(&Authority::new("another authority").issue(USER));
    assert_refused(&server.url("with_certificate", &format!("{base}&{foreign}")), "client's certificate").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_is_refused_if_it_is_required() {
    let Some(cluster) = Cluster::shared() else { return };
    let url = cluster.database().await;
    for mode in ["require", "verify-full"] {
        assert_refused(&format!("{url}?sslmode={mode}"), "server does not support TLS").await;
    }
    for mode in ["prefer", "allow", "disable"] {
        Store::open(&format!("{url}?sslmode={mode}").parse().unwrap()).await.unwrap().close().await;
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_named_with_its_parameter() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let issued = Authority::new("the authority").issue(USER);
    let (letter, certificate) = (file("letter", "a letter to a friend"), file("client.pem", &issued.certificate));
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let encrypted = file("encrypted.key", encrypted);
    for (parameters, named) in [
        ("sslrootcert=/nowhere/ca.pem".to_owned(), ["sslrootcert", "/nowhere/ca.pem", "No such file"]),
        (format!("sslrootcert={letter}"), ["sslrootcert", &letter, "no certificate"]),
        (format!("sslcert={letter}&sslkey={letter}"), ["sslcert", &letter, "no certificate"]),
        (format!("sslcert={certificate}&sslkey={letter}"), ["sslkey", &letter, "no private key"]),
        (format!("sslcert={certificate}&sslkey={encrypted}"), ["sslkey", &encrypted, "encrypted"]),
    ] {
        // Nothing listens there: the files are checked first.
        let url = format!("postgres://{USER}:{PASSWORD}@127.0.0.1:9/users?sslmode=require&{parameters}");
        let error = open_error(&url.parse().unwrap()).await;
        assert!(matches!(error, StoreError::Unusable { .. }), "{error:?}");
        assert!(named.iter().all(|named| error.to_string().contains(named)), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_authorities_of_the_system_are_trusted_if_asked() {
    let Some(server) = Server::shared().await else { return };
    let url = server.url("encrypted", "sslrootcert=system");
    assert_refused(&url, "unknown authority").await;
    let mut service = Command::new(env!("CARGO_BIN_EXE_user-service"));
    service.args(["--listen", "127.0.0.1:0", "--delay", "0"]).env("DATABASE_URL", &url);
    // What the operating system trusts, for this process.
    service.env("SSL_CERT_FILE", server.root()).env_remove("SSL_CERT_DIR");
    let mut service = service.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(service.stdout.take().unwrap()).lines().map(Result::unwrap);
    let log: Vec<String> = lines.take_while(|line| !line.contains(" serving")).collect();
    let is_running = service.try_wait().unwrap().is_none();
    service.kill().unwrap();
    service.wait().unwrap();
    assert!(is_running, "{log:?}");
}
