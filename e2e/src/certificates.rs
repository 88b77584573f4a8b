//! Certificates for the services of a test, in directories as Kubernetes mounts a secret.

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType, date_time_ymd};
use tempfile::TempDir;

/// An authority that signs certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate, in PEM.
    pub pem: String,
}

/// A certificate and its key, in PEM.
pub struct Identity {
    /// The certificate.
    pub cert: String,
    /// The key.
    pub key: String,
}

/// A directory with a certificate, its key and an authority, all of which can be replaced at one moment: the files are
/// links into `..data`, which is a link to a directory that is replaced.
pub struct Secret {
    directory: TempDir,
    version: u32,
}

// === impl Authority ===

impl Authority {
    /// Makes an authority of this name.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Signs a certificate for these names: hosts, addresses, and with `://` URIs.
    pub fn sign(&self, names: &[&str]) -> Identity {
        self.sign_params(&params(names))
    }

    /// Signs a certificate of a service of this machine, with a SPIFFE ID.
    pub fn sign_service(&self, name: &str) -> Identity {
        self.sign(&["localhost", "127.0.0.1", &spiffe_id(name)])
    }

    /// Signs a certificate for these names that expired long ago.
    pub fn sign_expired(&self, names: &[&str]) -> Identity {
        let mut params = params(names);
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 1, 1);
        self.sign_params(&params)
    }

    /// Signs a certificate for these names that expires at this time, to the second before.
    pub fn sign_until(&self, names: &[&str], not_after: SystemTime) -> Identity {
        let mut params = params(names);
        params.not_after = not_after.into();
        self.sign_params(&params)
    }

    fn sign_params(&self, params: &CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        Identity { cert: params.signed_by(&key, &self.issuer).unwrap().pem(), key: key.serialize_pem() }
    }
}

/// Returns the SPIFFE ID of a service.
pub fn spiffe_id(name: &str) -> String {
    format!("spiffe://example.org/{name}")
}

fn params(names: &[&str]) -> CertificateParams {
    let (uris, hosts): (Vec<&str>, Vec<&str>) = names.iter().partition(|name| name.contains("://"));
    let mut params = CertificateParams::new(hosts.into_iter().map(str::to_owned).collect::<Vec<_>>()).unwrap();
    params.subject_alt_names.extend(uris.into_iter().map(|uri| SanType::URI(uri.try_into().unwrap())));
    params
}

// === impl Secret ===

impl Secret {
    /// Makes a directory with a certificate, and the authorities that its owner trusts.
    pub fn new(identity: &Identity, authorities: &str) -> Self {
        let mut secret = Self { directory: tempfile::tempdir().unwrap(), version: 0 };
        secret.replace(identity, authorities);
        secret
    }

    /// Replaces all files at one moment.
    pub fn replace(&mut self, identity: &Identity, authorities: &str) {
        self.version += 1;
        let (directory, version) = (self.directory.path(), format!("..{}", self.version));
        fs::create_dir(directory.join(&version)).unwrap();
        for (name, contents) in [("tls.crt", &*identity.cert), ("tls.key", &*identity.key), ("ca.crt", authorities)] {
            fs::write(directory.join(&version).join(name), contents).unwrap();
            if self.version == 1 {
                link(&Path::new("..data").join(name), &directory.join(name));
            }
        }
        let new = directory.join("..data_tmp");
        link(Path::new(&version), &new);
        fs::rename(new, directory.join("..data")).unwrap();
    }

    /// Returns the path of `tls.crt`, `tls.key` or `ca.crt`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Returns the flags with which a service serves TLS.
    pub fn server_args(&self) -> Vec<String> {
        self.args(&[("tls-cert", "tls.crt"), ("tls-key", "tls.key")])
    }

    /// Returns the flags with which a service serves TLS to clients with a certificate of the authority, and with one of
    /// these names.
    pub fn mutual_args(&self, allowed: &[&str]) -> Vec<String> {
        let mut args = self.server_args();
        args.extend(self.args(&[("tls-client-ca", "ca.crt")]));
        args.extend(allowed.iter().map(|name| format!("--allow-client={name}")));
        args
    }

    /// Returns the flag with which the gateway trusts the authority.
    pub fn ca_args(&self) -> Vec<String> {
        self.args(&[("tls-ca", "ca.crt")])
    }

    fn args(&self, flags: &[(&str, &str)]) -> Vec<String> {
        flags.iter().map(|(flag, file)| format!("--{flag}={}", self.path(file).display())).collect()
    }
}

fn link(target: &Path, path: &Path) {
    std::os::unix::fs::symlink(target, path).unwrap();
}
