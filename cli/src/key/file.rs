//! The file that has the hashes of API keys.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown},
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
        let open = || -> io::Result<(File, PathBuf)> {
            loop {
                let file = OpenOptions::new().read(true).append(true).create(true).mode(MODE).open(path)?;
                file.lock()?;
                // Another process may have put a new file in its place meanwhile.
                if fs::metadata(path)?.ino() == file.metadata()?.ino() {
                    return Ok((file, fs::canonicalize(path)?));
                }
            }
        };
        let (mut file, target) = open().map_err(io_error(path))?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(io_error(path))?;
        check(path, &text)?;
        Ok(Self { path: target, file, text })
    }

    /// Adds a key.
    pub(super) fn add(self, entry: &KeyEntry) -> Result<(), KeyFileError> {
        let end = if self.text.is_empty() || self.text.ends_with('\n') { "" } else { "\n" };
        let text = format!("{}{end}{entry}\n", self.text);
        check(&self.path, &text)?;
        // A new file: on a full disk, a part of the line would be left in this one.
        self.replace(&text).map_err(io_error(&self.path))
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

    /// Puts a new file in place of this one, with the same mode and owner: a reader sees the one or the other.
    fn replace(&self, text: &str) -> io::Result<()> {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.new", std::process::id()));
        let new = self.path.with_file_name(name);
        let write = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&new)?;
            let (old, own) = (self.file.metadata()?, file.metadata()?);
            // Otherwise a service that runs as its owner could not read it any longer.
            if (old.uid(), old.gid()) != (own.uid(), own.gid()) {
                fchown(&file, Some(old.uid()), Some(old.gid()))?;
            }
            file.set_permissions(old.permissions())?;
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use service_kit::identity::api_keys::NewKey;

    use super::*;

    #[test]
    fn a_key_is_added_by_a_new_file_with_the_same_mode() {
        let directory = std::env::temp_dir().join(format!("fanout-keys-{}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        let (path, link) = (directory.join("keys"), directory.join("link"));
        fs::write(&path, "# ours").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let (mut before, mut text) = (File::open(&path).unwrap(), String::new());
        KeyFile::lock(&link).unwrap().add(&NewKey::generate().unwrap().entry("ours".parse().unwrap())).unwrap();
        before.read_to_string(&mut text).unwrap();
        assert_eq!(text, "# ours", "whoever reads sees the old file whole");
        let (after, left) = (fs::read_to_string(&path).unwrap(), fs::read_dir(&directory).unwrap().count());
        assert!(after.starts_with("# ours\n") && after.ends_with('\n') && after.lines().count() == 2, "{after}");
        assert_eq!((fs::metadata(&path).unwrap().mode() & 0o777, left), (0o640, 2));
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        fs::remove_dir_all(&directory).unwrap();
    }
}
