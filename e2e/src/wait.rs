//! Waits that end: each has one deadline, [`TIMEOUT`] after it has begun.

use std::{
    process::{Child, ExitStatus},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::Instant,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::TIMEOUT;

/// Waits for something that is sure to happen, and returns its result.
///
/// # Panics
///
/// Panics if it has not happened in time. `what` names it.
pub async fn within<T>(what: &str, event: impl Future<Output = T>) -> T {
    let result = tokio::time::timeout(TIMEOUT, event).await;
    result.unwrap_or_else(|_| panic!("{what}: not within {TIMEOUT:?}"))
}

/// Returns the first value that `accepts` maps to `Some`, or `None` if there is none in time.
pub(crate) fn first<T, R>(values: &Receiver<T>, mut accepts: impl FnMut(T) -> Option<R>) -> Option<R> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let value = values.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()?;
        if let Some(result) = accepts(value) {
            return Some(result);
        }
    }
}

/// Waits for a process to end. Kills it and returns `None` if it has not ended in time.
pub(crate) fn exit(process: &mut Child) -> Option<ExitStatus> {
    let pid = Pid::from_child(process);
    let (ended, still_waiting) = mpsc::channel::<()>();
    let watchdog = thread::spawn(move || {
        let is_late = still_waiting.recv_timeout(TIMEOUT) == Err(RecvTimeoutError::Timeout);
        if is_late {
            // Fails if it has ended at this moment.
            let _ = kill_process(pid, Signal::KILL);
        }
        is_late
    });
    let status = process.wait().unwrap();
    drop(ended);
    (!watchdog.join().unwrap()).then_some(status)
}
