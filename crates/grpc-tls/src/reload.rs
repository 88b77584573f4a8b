//! A value that is made again when its files change.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::RwLock;
use tokio::{sync::Notify, task::spawn_blocking, time::timeout};

use crate::file_error::FileError;

/// How often files are read to find out whether they have changed. There are a few of some kilobytes.
const INTERVAL: Duration = Duration::from_secs(2);

/// How often files are read at once until two times gave the same: another program may be replacing them one by one, or
/// swapping the directory that they are in.
const READS: usize = 4;

/// Files, and what is made of them.
pub(crate) trait Source: Send + 'static {
    /// What the files contain.
    type Contents: PartialEq + Send + 'static;
    /// What is made of them.
    type Value: Send + Sync + 'static;

    /// Reads the files. Blocks.
    fn read(&self) -> Result<Self::Contents, FileError>;

    /// Returns whether there are any.
    fn has_files(&self) -> bool;

    /// Makes the value.
    fn parse(&self, contents: &Self::Contents) -> Result<Self::Value, FileError>;
}

/// The value of the files as they were when they could last be used.
pub(crate) struct Reloaded<T> {
    value: RwLock<Arc<T>>,
    requested: Arc<Notify>,
}

struct Watch<S: Source> {
    source: S,
    /// What was read the last time.
    last: Result<S::Contents, String>,
}

/// What reading again led to.
enum Reading<T> {
    Unchanged,
    Changed(T),
    Unusable(FileError),
}

// === impl Reloaded ===

impl<T: Send + Sync + 'static> Reloaded<T> {
    /// Reads the files, and again whenever they change, until the value is dropped. Blocks for the first time.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime.
    pub(crate) fn load<S: Source<Value = T>>(source: S) -> Result<Arc<Self>, FileError> {
        let contents = source.read()?;
        let value = RwLock::new(Arc::new(source.parse(&contents)?));
        let requested = Arc::new(Notify::new());
        let reloaded = Arc::new(Self { value, requested: Arc::clone(&requested) });
        if source.has_files() {
            let watch = Watch { source, last: Ok(contents) };
            tokio::spawn(watch.run(Arc::downgrade(&reloaded), requested));
        }
        Ok(reloaded)
    }

    pub(crate) fn get(&self) -> Arc<T> {
        Arc::clone(&self.value.read())
    }

    /// Reads the files now.
    pub(crate) fn reload(&self) {
        self.requested.notify_one();
    }
}

// === impl Watch ===

impl<S: Source> Watch<S> {
    async fn run(self, reloaded: Weak<Reloaded<S::Value>>, requested: Arc<Notify>) {
        let mut watch = self;
        while reloaded.strong_count() > 0 {
            let requested = timeout(INTERVAL, requested.notified()).await.is_ok();
            let read = move || {
                let reading = watch.read(requested);
                (watch, reading)
            };
            let Ok((again, reading)) = spawn_blocking(read).await else {
                // The runtime is shutting down.
                return;
            };
            watch = again;
            match reading {
                Reading::Unchanged if requested => tracing::info!("the certificates' files have not changed"),
                Reading::Unchanged => {}
                Reading::Changed(value) => {
                    let Some(reloaded) = reloaded.upgrade() else { return };
                    *reloaded.value.write() = Arc::new(value);
                    tracing::info!("new certificates are in use");
                }
                Reading::Unusable(error) => {
                    let file = error.file.display();
                    tracing::warn!(%file, %error, "the old certificates stay in use: the new ones cannot be used");
                }
            }
        }
    }

    /// Reads the files. What cannot be used is unusable the first time, and unchanged from then on unless this reading was
    /// requested.
    fn read(&mut self, requested: bool) -> Reading<S::Value> {
        let before = std::mem::replace(&mut self.last, Err(String::new()));
        match self.read_twice() {
            Ok(contents) => {
                let is_new = before.as_ref() != Ok(&contents);
                let value = if is_new || requested { Some(self.source.parse(&contents)) } else { None };
                self.last = Ok(contents);
                match value {
                    Some(Err(error)) => Reading::Unusable(error),
                    Some(Ok(value)) if is_new => Reading::Changed(value),
                    Some(Ok(_)) | None => Reading::Unchanged,
                }
            }
            Err(error) => {
                let why = format!("{}: {error}", error.file.display());
                let is_new = before.as_ref().err() != Some(&why);
                self.last = Err(why);
                if is_new || requested { Reading::Unusable(error) } else { Reading::Unchanged }
            }
        }
    }

    /// Reads the files until two times gave the same, so that a certificate is not taken with the key of another.
    fn read_twice(&self) -> Result<S::Contents, FileError> {
        let mut contents = self.source.read()?;
        for _ in 1..READS {
            let again = self.source.read()?;
            if contents == again {
                break;
            }
            contents = again;
        }
        Ok(contents)
    }
}
