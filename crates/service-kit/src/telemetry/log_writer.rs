//! Writes log lines on a thread of its own: a standard output that nothing reads stops no request.
//!
//! `tracing-appender` has the same, but its end writes to standard output too, and waits for ever where nothing reads it.

use std::{
    io::{self, Write},
    mem,
    sync::Arc,
    thread,
    time::Duration,
};

use parking_lot::{Condvar, Mutex};
use tracing_subscriber::fmt::MakeWriter;

/// How many bytes of lines wait to be written. More lines are lost, and counted: with their memory a service would end
/// instead.
const MAX_WAITING: usize = 4 << 20;

/// How much memory is kept for the next lines.
const KEPT: usize = 1 << 16;

/// How long lines are gathered after some were written. To wake a thread and to write costs ten times what a line does: under
/// load that is shared by many. After a pause, a line is written at once.
const GATHER: Duration = Duration::from_millis(5);

/// Takes log lines, and waits for nothing. Clones share what waits.
///
/// Lines are copied into one buffer. One by one, each would be allocated by one thread and freed by another, which costs as
/// much as to format it.
#[derive(Clone, Debug)]
pub(super) struct LogWriter(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// There is something to write.
    wake: Condvar,
    /// What was asked for is written.
    flushed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<u8>,
    /// How many lines did not fit, and are not reported yet.
    lost: u64,
    /// How often somebody has asked to have everything written, and how many of them have that.
    flushes_asked: u64,
    flushes_done: u64,
}

// === impl LogWriter ===

impl LogWriter {
    /// Starts the thread that writes to `output`.
    pub(super) fn start(output: impl Write + Send + 'static) -> io::Result<Self> {
        let writer = Self(Arc::default());
        let shared = Arc::clone(&writer.0);
        thread::Builder::new().name("log".to_owned()).spawn(move || write_all(output, &shared))?;
        Ok(writer)
    }

    /// Waits until all lines so far are written.
    pub(super) fn flush_all(&self) {
        let mut waiting = self.0.waiting.lock();
        waiting.flushes_asked += 1;
        let own = waiting.flushes_asked;
        self.0.wake.notify_one();
        while waiting.flushes_done < own {
            self.0.flushed.wait(&mut waiting);
        }
    }
}

/// Writes what waits, to the end of the process. A failure loses lines only: a closed standard output must not end the service.
fn write_all(mut output: impl Write, shared: &Shared) {
    let mut lines = Vec::new();
    loop {
        let (lost, flushes) = {
            let mut waiting = shared.waiting.lock();
            while waiting.lines.is_empty() && waiting.flushes_done == waiting.flushes_asked {
                shared.wake.wait(&mut waiting);
            }
            mem::swap(&mut waiting.lines, &mut lines);
            (mem::take(&mut waiting.lost), waiting.flushes_asked)
        };
        let _ = output.write_all(&lines);
        let _ = output.flush();
        lines.clear();
        lines.shrink_to(KEPT);
        shared.waiting.lock().flushes_done = flushes;
        shared.flushed.notify_all();
        if lost > 0 {
            tracing::warn!(lines = lost, "log lines are lost: nothing has read standard output");
        }
        thread::sleep(GATHER);
    }
}

impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let was_empty = {
            let mut waiting = self.0.waiting.lock();
            if waiting.lines.len() + line.len() > MAX_WAITING {
                waiting.lost += 1;
                return Ok(line.len());
            }
            let was_empty = waiting.lines.is_empty();
            waiting.lines.extend_from_slice(line);
            was_empty
        };
        if was_empty {
            self.0.wake.notify_one();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for LogWriter {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU64, Ordering},
        time::Instant,
    };

    use super::*;

    /// An output that takes nothing until the test lets go of its lock.
    #[derive(Clone, Default)]
    struct Output(Arc<Mutex<Vec<u8>>>, Arc<AtomicU64>);

    impl Write for Output {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend(bytes);
            self.1.fetch_add(1, Ordering::Relaxed);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_are_written_in_their_order() {
        let output = Output::default();
        let mut writer = LogWriter::start(output.clone()).unwrap();
        for line in ["one\n", "two\n"] {
            writer.write_all(line.as_bytes()).unwrap();
        }
        writer.flush_all();
        assert_eq!(*output.0.lock(), b"one\ntwo\n");
    }

    #[test]
    fn lines_in_quick_succession_are_written_together() {
        let output = Output::default();
        let mut writer = LogWriter::start(output.clone()).unwrap();
        let begun = Instant::now();
        for _ in 0..200 {
            writer.write_all(b"a line\n").unwrap();
            // As far apart as those of requests, so that the writer could write each.
            thread::sleep(Duration::from_micros(100));
        }
        writer.flush_all();
        let times = u128::from(output.1.load(Ordering::Relaxed));
        // The first one, and the flush.
        let most = begun.elapsed().as_micros() / GATHER.as_micros() + 2;
        assert!(times <= most, "{times} in {:?}", begun.elapsed());
    }

    #[test]
    fn an_output_that_takes_nothing_holds_nobody() {
        let output = Output::default();
        let mut writer = LogWriter::start(output.clone()).unwrap();
        let blocked = output.0.lock();
        // What does not fit is counted.
        let line = [b'x'; 1024];
        for _ in 0..3 * MAX_WAITING / line.len() {
            writer.write_all(&line).unwrap();
        }
        assert!(writer.0.waiting.lock().lost > 0);
        drop(blocked);
        writer.flush_all();
        assert!(output.0.lock().len() >= MAX_WAITING, "what fits is written");
    }
}
