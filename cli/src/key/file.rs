//! The file that has the hashes of API keys.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use service_kit::identity::api_keys::{ApiKeys, KeyEntry};

/// Its owner alone may read and write a new file.
const MODE: u32 = 0o600;

/// A file of keys that no other process changes until this is dropped.
#[derive(Debug)]
pub(super) struct KeyFile {
    path: PathBuf,
    file: File,
    text: String,
}

/// Why a file of keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read or written.
    #[error("cannot use {}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What failed.
        #[source]
        error: io::Error,
    },
    /// It holds something else.
    #[error("{}: {problem}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

// === impl KeyFile ===

impl KeyFile {
    /// Returns the keys of a file.
    pub(super) fn read(path: &Path) -> Result<Vec<KeyEntry>, KeyFileError> {
        let text = fs::read_to_string(path).map_err(io_error(path))?;
        check(path, &text)?;
        Ok(text.lines().filter_map(KeyEntry::parse).filter_map(Result::ok).collect())
    }

    /// Opens a file, or makes it, and waits until no other process changes it.
    pub(super) fn lock(path: &Path) -> Result<Self, KeyFileError> {
        let open = || -> io::Result<File> {
            loop {
                let file = OpenOptions::new().read(true).append(true).create(true).mode(MODE).open(path)?;
                file.lock()?;
                // Another process may have put a new file in its place meanwhile.
                if fs::metadata(path)?.ino() == file.metadata()?.ino() {
                    return Ok(file);
                }
            }
        };
        let mut file = open().map_err(io_error(path))?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(io_error(path))?;
        check(path, &text)?;
        Ok(Self { path: path.to_owned(), file, text })
    }

    /// Adds a key.
    pub(super) fn add(mut self, entry: &KeyEntry) -> Result<(), KeyFileError> {
        let end = if self.text.is_empty() || self.text.ends_with('\n') { "" } else { "\n" };
        let line = format!("{end}{entry}\n");
        check(&self.path, &(self.text + &line))?;
        // At once, so that no reader sees a part of it.
        let written = self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_all());
        written.map_err(io_error(&self.path))
    }

    /// Removes the keys with this name or fingerprint. Returns how many there were.
    pub(super) fn remove(self, key: &str) -> Result<usize, KeyFileError> {
        let is_meant = |line: &&str| {
            let entry = KeyEntry::parse(line).and_then(Result::ok);
            entry.is_some_and(|entry| entry.name().to_string() == key || entry.fingerprint() == key)
        };
        let removed = self.text.lines().filter(is_meant).count();
        if removed > 0 {
            let rest: String = self.text.split_inclusive('\n').filter(|line| !is_meant(line)).collect();
            self.replace(&rest).map_err(io_error(&self.path))?;
        }
        Ok(removed)
    }

    /// Puts a new file in place of this one, with the same mode: a reader sees the one or the other.
    fn replace(&self, text: &str) -> io::Result<()> {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.new", std::process::id()));
        let new = self.path.with_file_name(name);
        let write = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&new)?;
            file.set_permissions(self.file.metadata()?.permissions())?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &self.path)
        };
        write().inspect_err(|_| _ = fs::remove_file(&new))
    }
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> KeyFileError {
    move |error| KeyFileError::Io { path: path.to_owned(), error }
}

/// Checks that a text is that of a file of keys, as the gateway does.
fn check(path: &Path, text: &str) -> Result<(), KeyFileError> {
    let invalid = |problem| KeyFileError::Invalid { path: path.to_owned(), problem };
    ApiKeys::parse(text).map(drop).map_err(invalid)
}
