//! Certificates, keys and authorities in PEM files.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    Error, RootCertStore,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject as _},
    },
    sign::CertifiedKey,
};

use crate::{
    file_error::{FileError, FileRole, Problem},
    provider::provider,
};

/// The largest file that is read: far more than the authorities of a whole operating system.
const MAX_LENGTH: u64 = 4 << 20;

/// The contents of a file. Compared to find out whether it has changed.
#[derive(PartialEq, Eq)]
pub(crate) struct Pem {
    file: PathBuf,
    role: FileRole,
    bytes: Vec<u8>,
}

/// The contents of the files with a certificate and its key.
#[derive(PartialEq, Eq)]
pub(crate) struct IdentityPem {
    cert: Pem,
    key: Pem,
}

// === impl Pem ===

impl Pem {
    pub(crate) fn read(file: &Path, role: FileRole) -> Result<Self, FileError> {
        let bytes = read(file).map_err(|error| FileError::new(file, role, Problem::Unreadable(error)))?;
        Ok(Self { file: file.to_owned(), role, bytes })
    }

    /// Returns the certificates, of which there is at least one.
    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, FileError> {
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(&self.bytes)
            .collect::<Result<_, _>>()
            .map_err(|error| self.error(not_pem(&error)))?;
        if certificates.is_empty() { Err(self.error(Problem::NoCertificate)) } else { Ok(certificates) }
    }

    fn key(&self) -> Result<PrivateKeyDer<'static>, FileError> {
        PrivateKeyDer::from_pem_slice(&self.bytes).map_err(|error| {
            self.error(match error {
                // `BEGIN ENCRYPTED PRIVATE KEY`.
                pem::Error::NoItemsFound if self.contains(b"ENCRYPTED") => Problem::EncryptedKey,
                pem::Error::NoItemsFound => Problem::NoKey,
                // `Proc-Type: 4,ENCRYPTED` inside of the older `BEGIN RSA PRIVATE KEY`.
                _ if self.contains(b"Proc-Type: 4,ENCRYPTED") => Problem::EncryptedKey,
                error => not_pem(&error),
            })
        })
    }

    /// Returns the authorities that the certificates name.
    pub(crate) fn authorities(&self) -> Result<Arc<RootCertStore>, FileError> {
        let mut roots = RootCertStore::empty();
        for (index, certificate) in self.certificates()?.into_iter().enumerate() {
            roots.add(certificate).map_err(|error| self.error(unusable(index, &error)))?;
        }
        Ok(Arc::new(roots))
    }

    fn contains(&self, text: &[u8]) -> bool {
        self.bytes.windows(text.len()).any(|window| window == text)
    }

    pub(crate) fn error(&self, problem: Problem) -> FileError {
        FileError::new(&self.file, self.role, problem)
    }
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let length = File::open(file)?.take(MAX_LENGTH + 1).read_to_end(&mut bytes)?;
    if length as u64 > MAX_LENGTH {
        return Err(io::Error::other(format!("it is larger than {} MiB", MAX_LENGTH >> 20)));
    }
    Ok(bytes)
}

fn not_pem(error: &pem::Error) -> Problem {
    Problem::NotPem(match error {
        // The bytes of the line would be printed as numbers.
        pem::Error::MissingSectionEnd { .. } => "a section has no end".to_owned(),
        pem::Error::IllegalSectionStart { .. } => "a section begins with a malformed line".to_owned(),
        pem::Error::Base64Decode(_) => "a section is not base64".to_owned(),
        error => error.to_string(),
    })
}

fn unusable(index: usize, error: &Error) -> Problem {
    let reason = match error {
        Error::InvalidCertificate(why) => why.to_string(),
        error => error.to_string(),
    };
    Problem::Certificate { number: index + 1, reason }
}

// === impl IdentityPem ===

impl IdentityPem {
    pub(crate) fn read(cert: &Path, key: &Path) -> Result<Self, FileError> {
        Ok(Self { cert: Pem::read(cert, FileRole::Certificate)?, key: Pem::read(key, FileRole::Key)? })
    }

    /// Returns the certificates with their key, of which is known that it belongs to the first of them.
    pub(crate) fn certified_key(&self) -> Result<Arc<CertifiedKey>, FileError> {
        let (certificates, key) = (self.cert.certificates()?, self.key.key()?);
        let signing_key = provider()
            .key_provider
            .load_private_key(key)
            .map_err(|error| self.key.error(Problem::Key(error.to_string())))?;
        let certified = CertifiedKey::new(certificates, signing_key);
        match certified.keys_match() {
            Ok(()) => Ok(Arc::new(certified)),
            Err(Error::InconsistentKeys(_)) => Err(self.key.error(Problem::KeyMismatch(self.cert.file.clone()))),
            Err(error) => Err(self.cert.error(unusable(0, &error))),
        }
    }
}
