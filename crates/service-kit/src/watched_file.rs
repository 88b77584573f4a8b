//! Files that are read again when they change.

use std::{fmt, fs, io, io::Read as _, path::PathBuf, sync::Arc, time::Duration};

use grpc_tls::reload::{Reading, Source, Watch};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

/// How often files are read.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The longest file that is read, in bytes.
const MAX_LEN: u64 = 1 << 20;

/// Parses the contents of a file.
type Parse<T> = Box<dyn Fn(&str) -> Result<T, String> + Send>;

/// A file whose parsed contents can change while the process runs.
///
/// [`WatchedFiles::keep_current`] reads it again. While it cannot be read or parsed, what it held before stays in force.
pub struct WatchedFile<T> {
    watch: Watch<TextFile<T>>,
    current: watch::Sender<Arc<T>>,
}

/// A file with text, and what is made of it.
struct TextFile<T> {
    path: PathBuf,
    parse: Parse<T>,
}

/// The reason why a file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct FileError {
    path: PathBuf,
    problem: String,
}

/// A file that can be read again.
trait ReadAgain: Send {
    /// Reads the file, and takes over what has changed. Blocks.
    fn read_again(&mut self);
}

/// Files that are to be read again when they change.
#[derive(Default)]
pub struct WatchedFiles(Vec<Box<dyn ReadAgain>>);

// === impl WatchedFile ===

impl<T: Send + Sync + 'static> WatchedFile<T> {
    /// Reads a file for the first time.
    ///
    /// # Errors
    ///
    /// Returns an error that names the file if it cannot be read, is longer than 1 MiB, or cannot be parsed.
    pub fn read(
        path: impl Into<PathBuf>,
        parse: impl Fn(&str) -> Result<T, String> + Send + 'static,
    ) -> Result<Self, FileError> {
        let (watch, contents) = Watch::load(TextFile { path: path.into(), parse: Box::new(parse) })?;
        Ok(Self { watch, current: watch::Sender::new(Arc::new(contents)) })
    }

    /// Returns what the file holds, now and later.
    pub fn contents(&self) -> watch::Receiver<Arc<T>> {
        self.current.subscribe()
    }
}

impl<T: Send + Sync + 'static> ReadAgain for WatchedFile<T> {
    fn read_again(&mut self) {
        match self.watch.read(false) {
            Reading::Unchanged => {}
            Reading::Changed(contents) => {
                self.current.send_replace(Arc::new(contents));
                tracing::info!(file = %self.watch.source().path.display(), "a file has changed, and is in force");
            }
            Reading::Unusable(error) => {
                tracing::warn!(%error, "a file has changed, and cannot be used: what it held before stays");
            }
        }
    }
}

impl<T> fmt::Debug for WatchedFile<T> {
    /// Leaves out the contents, which may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchedFile").field("path", &self.watch.source().path).finish_non_exhaustive()
    }
}

// === impl TextFile ===

impl<T> Source for TextFile<T> {
    type Contents = String;
    type Value = T;
    type Error = FileError;

    fn read(&self) -> Result<String, FileError> {
        let mut text = String::new();
        let read = fs::File::open(&self.path).and_then(|file| file.take(MAX_LEN + 1).read_to_string(&mut text));
        match read {
            Err(cause) if cause.kind() == io::ErrorKind::InvalidData => {
                Err(self.error("is not text in UTF-8".to_owned()))
            }
            Err(cause) => Err(self.error(format!("cannot be read: {cause}"))),
            Ok(_) if text.len() as u64 > MAX_LEN => Err(self.error(format!("is longer than {MAX_LEN} bytes"))),
            Ok(_) => Ok(text),
        }
    }

    fn parse(&self, text: &String) -> Result<T, FileError> {
        (self.parse)(text).map_err(|problem| self.error(problem))
    }
}

impl<T> TextFile<T> {
    fn error(&self, problem: String) -> FileError {
        FileError { path: self.path.clone(), problem }
    }
}

// === impl FileError ===

impl FileError {
    /// Returns what is wrong, without the name of the file.
    pub fn problem(&self) -> &str {
        &self.problem
    }
}

// === impl WatchedFiles ===

impl WatchedFiles {
    /// Adds a file.
    pub fn add<T: Send + Sync + 'static>(&mut self, file: WatchedFile<T>) {
        self.0.push(Box::new(file));
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads the files every second, and at SIGHUP, which ends the process no more. Never returns. Cancel safe.
    pub async fn keep_current(mut self) {
        let mut hangup = signal(SignalKind::hangup())
            .inspect_err(|error| tracing::warn!(%error, "files are not read again at SIGHUP"))
            .ok();
        let mut ticks = interval(POLL_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let hung_up = async {
                match &mut hangup {
                    Some(hangup) => hangup.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = ticks.tick() => {}
                _ = hung_up => {}
            }
            // A file system may hang.
            let reading = spawn_blocking(move || {
                self.0.iter_mut().for_each(|file| file.read_again());
                self
            });
            match reading.await {
                Ok(files) => self = files,
                Err(error) => {
                    tracing::error!(%error, "files are not read again: reading them panicked");
                    return;
                }
            }
        }
    }
}

impl fmt::Debug for WatchedFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WatchedFiles").field(&self.0.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Result<u32, String> {
        text.trim().parse().map_err(|_| format!("{text:?} is no number"))
    }

    #[test]
    fn what_a_bad_file_held_before_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("number");
        assert!(WatchedFile::read(&path, number).unwrap_err().to_string().contains("cannot be read: No such file"));
        fs::write(&path, "x").unwrap();
        assert_eq!(WatchedFile::read(&path, number).unwrap_err().problem(), "\"x\" is no number");
        fs::write(&path, "1\n").unwrap();
        let mut file = WatchedFile::read(&path, number).unwrap();
        let contents = file.contents();
        assert_eq!(**contents.borrow(), 1);
        for (text, expected) in [(Some("2"), 2), (Some("x"), 2), (None, 2), (Some("3"), 3)] {
            match text {
                Some(text) => fs::write(&path, text).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            file.read_again();
            assert_eq!(**contents.borrow(), expected, "{text:?}");
        }
    }

    #[test]
    fn a_file_that_does_not_change_is_not_parsed_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("number");
        fs::write(&path, "1").unwrap();
        let mut file = WatchedFile::read(&path, number).unwrap();
        let mut contents = file.contents();
        contents.mark_unchanged();
        fs::write(&path, "1").unwrap();
        file.read_again();
        assert!(!contents.has_changed().unwrap());
    }

    #[test]
    fn a_file_without_end_is_not_read_to_its_end() {
        let error = WatchedFile::read("/dev/zero", number).unwrap_err();
        assert_eq!(error.to_string(), "/dev/zero: is longer than 1048576 bytes");
    }
}
