//! The log lines of a process so far.

use std::sync::Mutex;

use serde_json::Value;
use tokio::sync::Notify;

use crate::wait::within;

/// The log lines of a process so far.
#[derive(Default)]
pub struct Log {
    lines: Mutex<Vec<Value>>,
    changed: Notify,
}

// === impl Log ===

impl Log {
    pub(crate) fn push(&self, line: Value) {
        self.lines.lock().unwrap().push(line);
        self.changed.notify_waiters();
    }

    /// Returns the lines so far that match.
    pub fn lines(&self, matches: impl Fn(&Value) -> bool) -> Vec<Value> {
        self.lines.lock().unwrap().iter().filter(|line| matches(line)).cloned().collect()
    }

    /// Returns how many lines match so far.
    pub fn count(&self, matches: impl Fn(&Value) -> bool) -> usize {
        self.lines.lock().unwrap().iter().filter(|line| matches(line)).count()
    }

    /// Waits for a line that matches, and returns it. `what` describes it if it does not come.
    pub async fn wait_for(&self, what: &str, matches: impl Fn(&Value) -> bool) -> Value {
        self.wait_for_number(1, what, matches).await
    }

    /// Waits until so many lines match, and returns the last of them.
    pub async fn wait_for_number(&self, number: usize, what: &str, matches: impl Fn(&Value) -> bool) -> Value {
        let nth = |lines: &[Value]| lines.iter().filter(|line| matches(line)).nth(number - 1).cloned();
        self.wait_until(what, nth).await
    }

    /// Waits until `found` finds something in the lines so far, and returns it.
    pub async fn wait_until<T>(&self, what: &str, found: impl Fn(&[Value]) -> Option<T>) -> T {
        let found = async {
            loop {
                let changed = self.changed.notified();
                if let Some(found) = found(&self.lines.lock().unwrap()) {
                    return found;
                }
                changed.await;
            }
        };
        within(&format!("a log line: {what}"), found).await
    }
}
