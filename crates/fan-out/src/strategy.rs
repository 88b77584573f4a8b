//! How calls run, and what happens to the others when one fails.

use std::fmt;

/// How the calls of a fan-out run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// Awaits one call, then the next. Takes the sum of their times.
    Sequential,
    /// Joins all calls in the caller's task. Takes the time of the slowest.
    ///
    /// The calls share one thread, which costs nothing while they wait for I/O.
    #[default]
    Concurrent,
    /// Spawns a task for each call. Takes the time of the slowest.
    ///
    /// Faster than [`Concurrent`](Self::Concurrent) if calls use much CPU time between
    /// their waits, because tasks run on all threads of the runtime. Needs a tokio runtime.
    Spawned,
}

/// What happens to the other calls when one fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum FailurePolicy {
    /// Cancels the running calls and skips those that have not started.
    #[default]
    FailFast,
    /// Runs every call to its own end.
    BestEffort,
}

// === impl Strategy ===

impl Strategy {
    /// Returns the name that spans use: `sequential`, `concurrent` or `spawned`.
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
