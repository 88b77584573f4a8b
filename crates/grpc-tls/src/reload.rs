//! Values that are made again when their files change.

use std::{
    fmt::Debug,
    sync::{Arc, Weak},
    thread,
    time::Duration,
};

use parking_lot::RwLock;
use tokio::{sync::Notify, task::spawn_blocking, time::timeout};

use crate::file_error::FileError;

/// How often files are read to find out whether they have changed. There are a few of some kilobytes.
const INTERVAL: Duration = Duration::from_secs(2);

/// How long changed files have to stay as they are before they are used. A program that writes a file in place empties it
/// first; one that replaces several, or swaps their directory, may have done one half.
const SETTLE_TIME: Duration = Duration::from_millis(100);

/// How often changed files are read for that. Then they are left for the next time.
const MAX_READS: usize = 10;

/// Files, and what is made of them.
pub trait Source {
    /// What the files contain. It is compared, not their times: Kubernetes replaces a directory by a symbolic link, and
    /// copies may keep the time of the original.
    type Contents: PartialEq;
    /// What is made of them.
    type Value;
    /// Why the files cannot be used. Two that look the same to `Debug` are the same.
    type Error: Debug;

    /// Reads the files. Blocks.
    ///
    /// # Errors
    ///
    /// Returns an error if one cannot be read.
    fn read(&self) -> Result<Self::Contents, Self::Error>;

    /// Makes the value.
    ///
    /// # Errors
    ///
    /// Returns an error if it cannot be made of these contents.
    fn parse(&self, contents: &Self::Contents) -> Result<Self::Value, Self::Error>;
}

/// Files that are read again and again.
#[derive(Debug)]
pub struct Watch<S: Source> {
    source: S,
    /// What was read the last time, whether or not it could be used.
    last: Result<S::Contents, Arc<S::Error>>,
}

/// What reading files again led to.
#[derive(Debug)]
pub enum Reading<T, E> {
    /// They are as they were, or just being written.
    Unchanged,
    /// They have changed, and this is made of them.
    Changed(T),
    /// They have changed, and cannot be used.
    Unusable(Arc<E>),
}

/// The value of the files as they were when they could last be used.
pub(crate) struct Reloaded<T> {
    value: RwLock<Arc<T>>,
    requested: Arc<Notify>,
}

// === impl Reloaded ===

impl<T: Send + Sync + 'static> Reloaded<T> {
    /// Reads the files, and again whenever they change, until the value is dropped. Blocks for the first time.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime.
    pub(crate) fn load<S>(source: S) -> Result<Arc<Self>, FileError>
    where
        S: Source<Value = T, Error = FileError, Contents: Send> + Send + 'static,
    {
        let (watch, value) = Watch::load(source)?;
        let requested = Arc::new(Notify::new());
        let reloaded = Arc::new(Self { value: RwLock::new(Arc::new(value)), requested: Arc::clone(&requested) });
        tokio::spawn(keep_current(watch, Arc::downgrade(&reloaded), requested));
        Ok(reloaded)
    }

    /// Keeps a value that no file changes.
    pub(crate) fn fixed(value: T) -> Arc<Self> {
        Arc::new(Self { value: RwLock::new(Arc::new(value)), requested: Arc::default() })
    }

    pub(crate) fn get(&self) -> Arc<T> {
        Arc::clone(&self.value.read())
    }

    /// Reads the files now.
    pub(crate) fn reload(&self) {
        self.requested.notify_one();
    }
}

/// Reads the files again until the value is dropped.
async fn keep_current<S>(mut watch: Watch<S>, reloaded: Weak<Reloaded<S::Value>>, requested: Arc<Notify>)
where
    S: Source<Value: Send + Sync + 'static, Error = FileError, Contents: Send> + Send + 'static,
    S::Contents: 'static,
{
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

// === impl Watch ===

impl<S: Source> Watch<S> {
    /// Reads the files for the first time, and returns what is made of them. Blocks.
    ///
    /// # Errors
    ///
    /// Returns an error if they cannot be used.
    pub fn load(source: S) -> Result<(Self, S::Value), S::Error> {
        let contents = source.read()?;
        let value = source.parse(&contents)?;
        Ok((Self { source, last: Ok(contents) }, value))
    }

    /// Returns where the contents come from.
    pub fn source(&self) -> &S {
        &self.source
    }

    /// Reads the files again. What cannot be used is unusable the first time, and unchanged from then on unless this reading
    /// was requested. Blocks, for a second at most while they are being written.
    pub fn read(&mut self, requested: bool) -> Reading<S::Value, S::Error> {
        let read = || self.source.read().map_err(Arc::new);
        let first = read();
        let settled = if is_same(&first, &self.last) {
            Some(first)
        } else {
            let read_later = || {
                thread::sleep(SETTLE_TIME);
                read()
            };
            settled(first, read_later, is_same)
        };
        let Some(settled) = settled else { return Reading::Unchanged };
        let is_new = !is_same(&settled, &self.last);
        self.last = settled;
        if !is_new && !requested {
            return Reading::Unchanged;
        }
        match &self.last {
            Err(error) => Reading::Unusable(Arc::clone(error)),
            Ok(contents) => match self.source.parse(contents) {
                Err(error) => Reading::Unusable(Arc::new(error)),
                Ok(value) if is_new => Reading::Changed(value),
                Ok(_) => Reading::Unchanged,
            },
        }
    }
}

fn is_same<C: PartialEq, E: Debug>(one: &Result<C, E>, other: &Result<C, E>) -> bool {
    match (one, other) {
        (Ok(one), Ok(other)) => one == other,
        (Err(one), Err(other)) => format!("{one:?}") == format!("{other:?}"),
        (Ok(_), Err(_)) | (Err(_), Ok(_)) => false,
    }
}

/// Returns the first reading that is like the one before it. `None` if there is none for now.
fn settled<R>(first: R, mut read_later: impl FnMut() -> R, is_same: impl Fn(&R, &R) -> bool) -> Option<R> {
    let mut last = first;
    for _ in 0..MAX_READS {
        let next = read_later();
        if is_same(&next, &last) {
            return Some(next);
        }
        last = next;
    }
    None
}

#[cfg(test)]
mod tests {
    use std::iter::repeat_with;

    #[test]
    fn files_that_are_being_written_are_used_when_they_are_there() {
        let settled = |readings: &[&'static str]| {
            let mut rest = readings[1..].iter().copied().chain(repeat_with({
                let mut number = 0;
                move || {
                    number += 1;
                    if number % 2 == 0 { "even" } else { "odd" }
                }
            }));
            super::settled(readings[0], || rest.next().unwrap(), |one, other| one == other)
        };
        assert_eq!(settled(&["", "whole", "whole"]), Some("whole"));
        assert_eq!(settled(&["", "wh", "whole", "whole"]), Some("whole"));
        assert_eq!(settled(&["", ""]), Some(""), "emptied for good");
        assert_eq!(settled(&["never the same twice"]), None);
    }
}
