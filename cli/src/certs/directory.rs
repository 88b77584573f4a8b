//! The files of an authority.

use std::{
    fs::{self, File, Permissions},
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

use crate::certs::{authority::Authority, error::CertsError};

/// Everybody may read a certificate.
const CERTIFICATE_MODE: u32 = 0o644;

/// Only the owner may read a key.
const KEY_MODE: u32 = 0o600;

/// A directory with an authority, and a directory in it for each service and client.
pub(super) struct Directory {
    path: PathBuf,
}

/// The files of a service or client, with the names that they have in a secret of cert-manager.
pub(super) struct Files {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    /// A copy of the authority's certificate.
    pub(super) authority: PathBuf,
}

// === impl Directory ===

impl Directory {
    /// Creates the directory if it is missing.
    pub(super) fn create(path: &Path) -> Result<Self, CertsError> {
        create(path)?;
        Ok(Self { path: path.to_owned() })
    }

    /// Returns where the authority's certificate is.
    pub(super) fn authority(&self) -> PathBuf {
        self.path.join("ca.pem")
    }

    /// Returns where the authority's key is.
    pub(super) fn authority_key(&self) -> PathBuf {
        self.path.join("ca-key.pem")
    }

    /// Returns the files of a service or client.
    pub(super) fn files(&self, name: &str) -> Files {
        let of = |file: &str| self.path.join(name).join(file);
        Files { certificate: of("tls.crt"), key: of("tls.key"), authority: of("ca.crt") }
    }

    /// Reads a file, or returns `None` if there is none.
    pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, CertsError> {
        match fs::read(path) {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(CertsError::Read { path: path.to_owned(), source }),
        }
    }

    /// Checks that nothing is lost if the files of this name are replaced: there are none, or the authority has signed
    /// the certificate.
    pub(super) fn check_replaceable(&self, name: &str, authority: Option<&Authority>) -> Result<(), CertsError> {
        let Files { certificate, key, authority: copy } = self.files(name);
        match Self::read(&certificate)? {
            Some(content) if authority.is_some_and(|authority| authority.has_signed(&content)) => Ok(()),
            Some(_) => Err(CertsError::NotOurs(certificate)),
            // The certificate is written last: a run that was interrupted leaves the others alone.
            None if authority.is_some() => Ok(()),
            None => {
                [key, copy].into_iter().find(|file| file.exists()).map_or(Ok(()), |file| Err(CertsError::NotOurs(file)))
            }
        }
    }

    /// Writes the authority.
    pub(super) fn write_authority(&self, certificate: &str, key: &str) -> Result<(), CertsError> {
        replace(&self.authority_key(), key, KEY_MODE)?;
        replace(&self.authority(), certificate, CERTIFICATE_MODE)
    }

    /// Writes what a service or client needs: what it trusts, then its key, then its certificate.
    pub(super) fn write(&self, name: &str, authority: &str, key: &str, certificate: &str) -> Result<(), CertsError> {
        create(&self.path.join(name))?;
        let files = self.files(name);
        replace(&files.authority, authority, CERTIFICATE_MODE)?;
        replace(&files.key, key, KEY_MODE)?;
        replace(&files.certificate, certificate, CERTIFICATE_MODE)
    }
}

fn create(path: &Path) -> Result<(), CertsError> {
    fs::create_dir_all(path).map_err(|source| CertsError::Write { path: path.to_owned(), source })
}

/// Replaces a file as a whole: whoever reads it finds the old content or the new one. On disk when this returns.
fn replace(path: &Path, content: &str, mode: u32) -> Result<(), CertsError> {
    let directory = path.parent().unwrap_or(path);
    let replaced = || {
        // Only its owner can read it while it is written.
        let mut file = NamedTempFile::new_in(directory)?;
        file.write_all(content.as_bytes())?;
        file.as_file().set_permissions(Permissions::from_mode(mode))?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        File::open(directory)?.sync_all()
    };
    replaced().map_err(|source: io::Error| CertsError::Write { path: path.to_owned(), source })
}
