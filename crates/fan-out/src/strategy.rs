//! How calls are run, and what one's failure does to the others.

use std::fmt;

/// How the calls of a fan-out are run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// Await one, then the next: the sum of their times.
    Sequential,
    /// All in the caller's task, joined: the time of the slowest.
    ///
    /// The calls take turns on one thread, which is no loss while they wait.
    #[default]
    Concurrent,
    /// A task for each call: the time of the slowest too.
    ///
    /// Pays where calls burn processor time between their waits, because tasks run on
    /// as many threads as the runtime has. Needs a tokio runtime.
    Spawned,
}

/// What one call's failure does to the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum FailurePolicy {
    /// The first failure cancels the calls that run and skips those that have not
    /// started.
    #[default]
    FailFast,
    /// Every call runs to its own end.
    BestEffort,
}

// === impl Strategy ===

impl Strategy {
    /// The name in spans: `sequential`, `concurrent` or `spawned`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sequential => "sequential",
            Self::Concurrent => "concurrent",
            Self::Spawned => "spawned",
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
