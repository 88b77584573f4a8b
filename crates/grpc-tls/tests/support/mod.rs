//! Certificates in a directory, and a connection between a client and a server with them.

#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses a part of it")]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use grpc_tls::{ClientFiles, ClientTls, ServerFiles, ServerName, ServerTls};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType, date_time_ymd};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

/// An authority.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

/// A certificate and its key, in PEM.
pub(crate) struct Identity {
    pub(crate) cert: String,
    pub(crate) key: String,
}

/// A directory with files.
pub(crate) struct Files(pub(crate) TempDir);

impl Authority {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        Self::named(&format!("authority {}", NEXT.fetch_add(1, Ordering::Relaxed)))
    }

    pub(crate) fn named(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Signs a certificate for these names, of which those with `://` are URIs.
    pub(crate) fn sign(&self, names: &[&str]) -> Identity {
        self.sign_with(names, |_| {})
    }

    /// Signs a certificate that has expired.
    pub(crate) fn sign_expired(&self, names: &[&str]) -> Identity {
        self.sign_with(names, |params| {
            params.not_before = date_time_ymd(2001, 1, 1);
            params.not_after = date_time_ymd(2002, 1, 1);
        })
    }

    pub(crate) fn sign_with(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let (uris, hosts): (Vec<&str>, Vec<&str>) = names.iter().partition(|name| name.contains("://"));
        let hosts: Vec<String> = hosts.into_iter().map(str::to_owned).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.subject_alt_names.extend(uris.into_iter().map(|uri| SanType::URI(uri.try_into().unwrap())));
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        Identity { cert: params.signed_by(&key, &self.issuer).unwrap().pem(), key: key.serialize_pem() }
    }
}

impl Files {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Writes a file, and returns its path.
    pub(crate) fn write(&self, name: &str, contents: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, contents).unwrap();
        path
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn identity(&self, name: &str, identity: &Identity) -> (PathBuf, PathBuf) {
        (self.write(&format!("{name}.crt"), &identity.cert), self.write(&format!("{name}.key"), &identity.key))
    }

    /// Returns a server with this certificate, and without client certificates.
    pub(crate) fn server(&self, identity: &Identity) -> ServerFiles {
        let (cert, key) = self.identity("server", identity);
        ServerFiles { cert, key, client_ca: None, allowed_clients: Vec::new() }
    }

    /// Returns a client that trusts this authority.
    pub(crate) fn client(&self, authority: &Authority, identity: Option<&Identity>) -> ClientFiles {
        let identity = identity.map(|identity| self.identity("client", identity));
        ClientFiles { ca: Some(self.write("ca.crt", &authority.pem)), identity }
    }
}

/// What both sides of a handshake, and of the first bytes after it, say. The server's side has the names of the client.
pub(crate) type Outcome = (Result<(), String>, Result<Option<Vec<String>>, String>);

/// Makes a handshake with a server of the name `users`, and sends a byte from the server to the client.
pub(crate) async fn connect(client: &ClientTls, server: &ServerTls) -> Outcome {
    let (ours, theirs) = duplex(64 << 10);
    let name = ServerName::try_from("users").unwrap();
    let connect = async {
        let mut stream = client.connect(&name, ours).await.map_err(|error| error.to_string())?;
        stream.read_u8().await.map(|_| ()).map_err(|error| error.to_string())
    };
    let accept = async {
        match server.accept(theirs).await {
            Ok((mut stream, names)) => {
                stream.write_u8(0).await.unwrap();
                stream.flush().await.unwrap();
                Ok(names)
            }
            Err(refused) => Err(refused.error.to_string()),
        }
    };
    tokio::join!(connect, accept)
}

/// Asserts that a handshake with the server that has the directory's files fails, and what both sides say.
pub(crate) async fn assert_refused(client: ClientFiles, server: ServerFiles, client_says: &str, server_says: &str) {
    let (client, server) = (ClientTls::load(client).unwrap(), ServerTls::load(server).unwrap());
    let (connected, accepted) = connect(&client, &server).await;
    assert_eq!((connected, accepted), (Err(client_says.to_owned()), Err(server_says.to_owned())));
}

/// Replaces the files of a directory as Kubernetes does: they are links into `..data`, which is a link that is swapped.
pub(crate) fn swap(directory: &Path, version: u32, files: &[(&str, &str)]) {
    let target = format!("..{version}");
    fs::create_dir(directory.join(&target)).unwrap();
    for (name, contents) in files {
        fs::write(directory.join(&target).join(name), contents).unwrap();
        let link = directory.join(name);
        if fs::symlink_metadata(&link).is_err() {
            std::os::unix::fs::symlink(Path::new("..data").join(name), link).unwrap();
        }
    }
    let new = directory.join("..data_tmp");
    std::os::unix::fs::symlink(&target, &new).unwrap();
    fs::rename(new, directory.join("..data")).unwrap();
}
