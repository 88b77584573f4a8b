//! The certificates of `fanout up --tls`.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    certs::{
        self, CertificateFiles, CertsError, Issued,
        identity::{Identity, spiffe_id},
    },
    services::{Kind, SERVICES, Service},
};

/// The directory of the files, within that of the data.
const DIRECTORY: &str = "tls";

/// How long the certificates are valid. Each start makes new ones.
const VALIDITY: Duration = Duration::from_hours(365 * 24);

/// An authority, and a certificate for each service.
#[derive(Clone, Debug)]
pub(super) struct Tls {
    issued: Issued,
}

// === impl Tls ===

impl Tls {
    /// Makes new certificates for all services. The authority stays the same over restarts, so that callers who trust it
    /// need not be told, unless it can no longer sign.
    pub(super) fn make(data_dir: &Path) -> Result<Self, CertsError> {
        let directory = data_dir.join(DIRECTORY);
        let identities: Vec<_> = SERVICES.iter().map(|service| Identity::service(service.name, "fanout", [])).collect();
        let issue = |replace| certs::issue(&directory, &identities, VALIDITY, replace);
        // The directory is this command's own.
        let issued = issue(false).or_else(|error| if error.is_about_content() { issue(true) } else { Err(error) })?;
        Ok(Self { issued })
    }

    /// Returns the file with the authority that signs all certificates.
    pub(super) fn authority(&self) -> &Path {
        &self.issued.authority
    }

    /// Returns the certificate and the key of a service.
    pub(super) fn files(&self, service: &str) -> Option<(&PathBuf, &PathBuf)> {
        let files = self.issued.certificates.iter().find(|files| files.name == service);
        files.map(|CertificateFiles { certificate, key, .. }| (certificate, key))
    }

    /// Returns the arguments that a service needs.
    pub(super) fn args(&self, service: &Service) -> Vec<String> {
        let file = |path: &Path| path.display().to_string();
        let own = self.files(service.name).into_iter();
        let own = own.flat_map(|(certificate, key)| {
            ["--tls-cert".to_owned(), file(certificate), "--tls-key".to_owned(), file(key)]
        });
        let authority = file(self.authority());
        let others = match service.kind {
            Kind::Viewer => vec![],
            Kind::Gateway => vec!["--tls-ca".to_owned(), authority],
            Kind::Backend => {
                let gateways = SERVICES.iter().filter(|service| service.kind == Kind::Gateway);
                let allowed: Vec<_> = gateways.map(|gateway| spiffe_id(gateway.name)).collect();
                vec!["--tls-client-ca".to_owned(), authority, "--allow-client".to_owned(), allowed.join(",")]
            }
        };
        own.chain(others).collect()
    }
}
