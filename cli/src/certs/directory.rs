//! The files of an authority.

use std::{
    fs::{self, File, Permissions},
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

use crate::certs::{authority::Authority, error::CertsError};

/// The name of the authority in the names of its files.
pub(super) const AUTHORITY: &str = "ca";

/// Everybody may read a certificate.
const CERTIFICATE_MODE: u32 = 0o644;

/// Only the owner may read a key.
const KEY_MODE: u32 = 0o600;

/// A directory with the certificates of one authority.
pub(super) struct Directory {
    path: PathBuf,
}

// === impl Directory ===

impl Directory {
    /// Creates the directory if it is missing.
    pub(super) fn create(path: &Path) -> Result<Self, CertsError> {
        fs::create_dir_all(path).map_err(|source| CertsError::Write { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned() })
    }

    /// Returns where the authority's certificate is.
    pub(super) fn authority(&self) -> PathBuf {
        self.certificate(AUTHORITY)
    }

    /// Returns where a certificate is.
    pub(super) fn certificate(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}.pem"))
    }

    /// Returns where the key of a certificate is.
    pub(super) fn key(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}-key.pem"))
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
        let (certificate, key) = (self.certificate(name), self.key(name));
        match Self::read(&certificate)? {
            Some(content) if authority.is_some_and(|authority| authority.has_signed(&content)) => Ok(()),
            Some(_) => Err(CertsError::NotOurs(certificate)),
            // The key is written first: a run that was interrupted leaves it alone.
            None if authority.is_none() && key.exists() => Err(CertsError::NotOurs(key)),
            None => Ok(()),
        }
    }

    /// Writes a key and then its certificate.
    pub(super) fn write_pair(&self, name: &str, certificate: &str, key: &str) -> Result<(), CertsError> {
        for (path, content, mode) in
            [(self.key(name), key, KEY_MODE), (self.certificate(name), certificate, CERTIFICATE_MODE)]
        {
            self.replace(&path, content, mode).map_err(|source| CertsError::Write { path, source })?;
        }
        Ok(())
    }

    /// Replaces a file as a whole: whoever reads it finds the old content or the new one. On disk when this returns.
    fn replace(&self, path: &Path, content: &str, mode: u32) -> io::Result<()> {
        // Only its owner can read it while it is written.
        let mut file = NamedTempFile::new_in(&self.path)?;
        file.write_all(content.as_bytes())?;
        file.as_file().set_permissions(Permissions::from_mode(mode))?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        File::open(&self.path)?.sync_all()
    }
}
