//! Files that are read again when they change.

use std::{
    fmt, fs, io,
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

/// How often files are read. Their contents are compared, not their times: Kubernetes replaces a directory by a symbolic
/// link, and copies may keep the time of the original.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// How long a changed file has to stay as it is before its contents are used: a program that writes it in place empties it
/// first, and an empty file of keys would keep everybody out.
const SETTLE_TIME: Duration = Duration::from_millis(100);

/// How often a file is read for that. Then it is left for the next time.
const MAX_READS: usize = 10;

/// The longest file that is read, in bytes.
const MAX_LEN: u64 = 1 << 20;

/// Parses the contents of a file.
type Parse<T> = Box<dyn Fn(&str) -> Result<T, String> + Send>;

/// A file whose parsed contents can change while the process runs.
///
/// [`WatchedFiles::keep_current`] reads it again. While it cannot be read or parsed, what it held before stays in force.
pub struct WatchedFile<T> {
    path: PathBuf,
    parse: Parse<T>,
    /// What was read last, whether or not it could be parsed.
    last: Result<String, FileError>,
    current: watch::Sender<Arc<T>>,
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
        let path = path.into();
        let text = read(&path)?;
        let contents = parse(&text).map_err(|problem| FileError { path: path.clone(), problem })?;
        let current = watch::Sender::new(Arc::new(contents));
        Ok(Self { path, parse: Box::new(parse), last: Ok(text), current })
    }

    /// Returns what the file holds, now and later.
    pub fn contents(&self) -> watch::Receiver<Arc<T>> {
        self.current.subscribe()
    }
}

impl<T: Send + Sync> ReadAgain for WatchedFile<T> {
    fn read_again(&mut self) {
        let read = read(&self.path);
        if read == self.last {
            return;
        }
        let read_later = || {
            thread::sleep(SETTLE_TIME);
            self::read(&self.path)
        };
        let Some(read) = settled(read, read_later).filter(|read| *read != self.last) else { return };
        let parsed = read
            .clone()
            .and_then(|text| (self.parse)(&text).map_err(|problem| FileError { path: self.path.clone(), problem }));
        // Remembered also if it is bad: each problem is one warning.
        self.last = read;
        match parsed {
            Ok(contents) => {
                self.current.send_replace(Arc::new(contents));
                tracing::info!(file = %self.path.display(), "a file has changed, and is in force");
            }
            Err(error) => tracing::warn!(%error, "a file has changed, and cannot be used: what it held before stays"),
        }
    }
}

impl<T> fmt::Debug for WatchedFile<T> {
    /// Leaves out the contents, which may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchedFile").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Returns the first reading that is like the one before it. `None` if there is none for now.
fn settled<R: PartialEq>(first: R, mut read_later: impl FnMut() -> R) -> Option<R> {
    let mut last = first;
    for _ in 0..MAX_READS {
        let next = read_later();
        if next == last {
            return Some(next);
        }
        last = next;
    }
    None
}

fn read(path: &Path) -> Result<String, FileError> {
    let error = |problem: String| FileError { path: path.to_owned(), problem };
    let mut text = String::new();
    let read = fs::File::open(path).and_then(|file| file.take(MAX_LEN + 1).read_to_string(&mut text));
    match read {
        Err(cause) if cause.kind() == io::ErrorKind::InvalidData => Err(error("is not text in UTF-8".to_owned())),
        Err(cause) => Err(error(format!("cannot be read: {cause}"))),
        Ok(_) if text.len() as u64 > MAX_LEN => Err(error(format!("is longer than {MAX_LEN} bytes"))),
        Ok(_) => Ok(text),
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
    use std::iter::repeat_with;

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
    fn a_file_that_is_being_written_is_used_when_it_is_there() {
        let settled = |readings: &[&'static str]| {
            let mut rest = readings[1..].iter().copied().chain(repeat_with({
                let mut number = 0;
                move || {
                    number += 1;
                    if number % 2 == 0 { "even" } else { "odd" }
                }
            }));
            super::settled(readings[0], || rest.next().unwrap())
        };
        assert_eq!(settled(&["", "whole", "whole"]), Some("whole"));
        assert_eq!(settled(&["", "wh", "whole", "whole"]), Some("whole"));
        assert_eq!(settled(&["", ""]), Some(""), "emptied for good");
        assert_eq!(settled(&["never the same twice"]), None);
    }

    #[test]
    fn a_file_without_end_is_not_read_to_its_end() {
        let error = WatchedFile::read("/dev/zero", number).unwrap_err();
        assert_eq!(error.to_string(), "/dev/zero: is longer than 1048576 bytes");
    }
}
