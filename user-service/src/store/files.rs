//! Whether the files of an SQLite database are still those that are open.
//!
//! A file that was removed or replaced can be written as before through its open descriptor. What is written to it is lost
//! with the process.
//!
//! Nothing here opens a file of the database: by POSIX, closing it again would drop the locks that SQLite holds on it.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::SystemTime,
};

use rustix::fs::{Access, access};
use tokio::task::spawn_blocking;

/// What SQLite appends to the name of a database in WAL mode: the log with the latest commits, and its index, which has
/// the locks.
const COMPANIONS: [&str; 2] = ["-wal", "-shm"];

/// The files of a database as they were when it was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DatabaseFiles {
    database: File,
    companions: Vec<File>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct File {
    path: PathBuf,
    id: FileId,
}

/// Identifies a file while it is open: until then its inode has no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileId {
    device: u64,
    inode: u64,
}

/// What tells a file that is still being copied from one that is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Snapshot {
    id: FileId,
    length: u64,
    modified: Option<SystemTime>,
}

/// The reason why nothing may be written to the database.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    /// Another file has its name, or none has. Opening it again helps as soon as there is one.
    #[error("{0} was removed or replaced")]
    Replaced(String),
    #[error("the file was truncated")]
    Truncated,
    #[error("the file is read-only")]
    ReadOnly,
    #[error("the file cannot be examined: {0}")]
    Unknown(#[from] io::Error),
}

// === impl DatabaseFiles ===

impl DatabaseFiles {
    /// Returns the files of a database that is open.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        // SQLite resolves symbolic links before it names the other files.
        let real = fs::canonicalize(path)?;
        let companions = COMPANIONS.iter().map(|suffix| {
            let mut path = real.clone().into_os_string();
            path.push(suffix);
            File::at(path.into())
        });
        Ok(Self { database: File::at(path.to_owned())?, companions: companions.collect::<io::Result<_>>()? })
    }

    /// Checks that the files are those that are open, and can be written. Cancel safe.
    pub(super) async fn check(&self) -> Result<(), FileError> {
        let files = self.clone();
        spawn_blocking(move || files.check_now()).await.map_err(io::Error::from)?
    }

    fn check_now(&self) -> Result<(), FileError> {
        for file in [&self.database].into_iter().chain(&self.companions) {
            if !file.is_there()? {
                let name = file.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                return Err(FileError::Replaced(name));
            }
        }
        let path = &self.database.path;
        let metadata = fs::metadata(path)?;
        if metadata.len() == 0 {
            return Err(FileError::Truncated);
        }
        if is_read_only(path, &metadata) { Err(FileError::ReadOnly) } else { Ok(()) }
    }
}

// === impl File ===

impl File {
    fn at(path: PathBuf) -> io::Result<Self> {
        let id = FileId::of(&fs::metadata(&path)?);
        Ok(Self { path, id })
    }

    fn is_there(&self) -> io::Result<bool> {
        Ok(metadata(&self.path)?.is_some_and(|metadata| FileId::of(&metadata) == self.id))
    }
}

// === impl FileId ===

impl FileId {
    fn of(metadata: &fs::Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }

    /// Returns the id of the file that is at the path now, if there is one.
    pub(super) fn at(path: &Path) -> io::Result<Option<Self>> {
        Ok(metadata(path)?.as_ref().map(Self::of))
    }
}

// === impl Snapshot ===

impl Snapshot {
    /// Returns what is at the path now; `None` if there is no file, or an empty one. Cancel safe.
    pub(super) async fn at(path: PathBuf) -> io::Result<Option<Self>> {
        let snapshot = |metadata: fs::Metadata| Self {
            id: FileId::of(&metadata),
            length: metadata.len(),
            modified: metadata.modified().ok(),
        };
        let metadata = spawn_blocking(move || metadata(&path)).await??;
        Ok(metadata.map(snapshot).filter(|it| it.length > 0))
    }
}

/// Returns whether nobody may write the file, or this process may not. Root may write a file without permission; that
/// somebody took it away is heeded all the same.
pub(super) fn is_read_only(path: &Path, metadata: &fs::Metadata) -> bool {
    metadata.permissions().readonly() || access(path, Access::WRITE_OK).is_err()
}

/// Returns what is known of a file; `None` if there is none.
fn metadata(path: &Path) -> io::Result<Option<fs::Metadata>> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}
