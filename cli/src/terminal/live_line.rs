//! A line of progress on standard error.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use tokio::{
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval},
};

use crate::terminal::{capabilities, style::Style, text_layout::cut};

/// The line shows tenths of a second.
pub(crate) const REFRESH: Duration = Duration::from_millis(100);
/// The ANSI sequence that moves to the start of the line and erases it.
pub(crate) const ERASE: &str = "\r\u{1b}[2K";

/// A line that is rewritten until it is finished or dropped. Shows nothing if standard error is not a terminal.
pub struct LiveLine {
    task: Option<JoinHandle<()>>,
}

// === impl LiveLine ===

impl LiveLine {
    /// Starts to show `text`, which gets the time since the start.
    pub fn start(text: impl Fn(Duration) -> String + Send + 'static) -> Self {
        if !capabilities::stderr_is_live() {
            return Self { task: None };
        }
        let columns = terminal_size::terminal_size_of(io::stderr()).map_or(80, |(width, _)| usize::from(width.0));
        let task = tokio::spawn(async move {
            let began = Instant::now();
            let mut ticks = interval(REFRESH);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            loop {
                ticks.tick().await;
                // One column less: a full line would wrap, and only its second half would be erased.
                write(&cut(&text(began.elapsed()), columns.saturating_sub(1), Style::ASCII));
            }
        });
        Self { task: Some(task) }
    }

    /// Erases the line, and waits until nothing more is written to it.
    pub async fn finish(mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            // An aborted task may still write until it has ended.
            let _ = task.await;
            write("");
        }
    }
}

impl Drop for LiveLine {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
            write("");
        }
    }
}

fn write(text: &str) {
    // A failure loses only progress.
    let _ = write!(io::stderr().lock(), "{ERASE}{text}");
}
