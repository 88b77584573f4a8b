//! One line on standard error that tells what is being waited for.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use tokio::{
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval},
};

use crate::terminal::{capabilities, style::Style, text_layout::cut};

/// Often enough for tenths of a second.
const REFRESH: Duration = Duration::from_millis(100);
/// ANSI: to the start of the line, which is then erased.
const ERASE: &str = "\r\u{1b}[2K";

/// A line that is rewritten until it is dropped or finished. Shows nothing where
/// standard error is no terminal.
pub struct LiveLine {
    task: Option<JoinHandle<()>>,
}

// === impl LiveLine ===

impl LiveLine {
    /// Starts to show what `text` says of the time since the start.
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
                // One column less: a full line would wrap, and erasing would leave its first half.
                write(&cut(&text(began.elapsed()), columns.saturating_sub(1), Style::ASCII));
            }
        });
        Self { task: Some(task) }
    }

    /// Takes the line away, so that what follows starts on a clean one.
    pub async fn finish(mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            // Only once the task has ended can it write nothing more.
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
    // What cannot be shown is only progress.
    let _ = write!(io::stderr().lock(), "{ERASE}{text}");
}
