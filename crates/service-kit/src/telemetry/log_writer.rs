//! Writes log lines on a thread of its own: a standard output that nothing reads stops no request.
//!
//! `tracing-appender` has the same, but its end writes to standard output too, and waits for ever where nothing reads it.

use std::{
    io::{self, ErrorKind, Write},
    mem,
    sync::Arc,
    thread,
    time::Duration,
};

use parking_lot::{Condvar, Mutex};
use tracing_subscriber::fmt::MakeWriter;

/// How many bytes of lines wait to be written, while as many are being written. More lines are lost, and counted: with their
/// memory a service would end instead.
const MAX_WAITING: usize = 2 << 20;

/// How much memory is kept for the next lines.
const KEPT: usize = 1 << 16;

/// How long lines are gathered after some were written. To wake a thread and to write costs ten times what a line does: under
/// load that is shared by many. After a pause, a line is written at once.
const GATHER: Duration = Duration::from_millis(5);

/// Takes log lines, and waits for no output. Clones share what waits.
///
/// Lines are copied into one buffer. One by one in a channel, each would be allocated by one thread and freed by another: a
/// request with a line takes 0.94 of the processor time that it took so.
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
fn write_all(output: impl Write, shared: &Shared) {
    let mut output = Lines { output, is_torn: false };
    let (mut lines, mut lost) = (Vec::new(), 0);
    loop {
        let flushes = {
            let mut waiting = shared.waiting.lock();
            while waiting.lines.is_empty() && waiting.flushes_done == waiting.flushes_asked {
                shared.wake.wait(&mut waiting);
            }
            mem::swap(&mut waiting.lines, &mut lines);
            lost += mem::take(&mut waiting.lost);
            waiting.flushes_asked
        };
        let failed = output.write(&lines);
        lost += failed;
        lines.clear();
        lines.shrink_to(KEPT);
        shared.waiting.lock().flushes_done = flushes;
        shared.flushed.notify_all();
        // Only once lines are written again: this is one too.
        if lost > 0 && failed == 0 {
            tracing::warn!(lines = lost, "log lines are lost: nothing has read standard output");
            lost = 0;
        }
        thread::sleep(GATHER);
    }
}

/// An output of lines.
struct Lines<W> {
    output: W,
    /// Whether it ends with a part of a line.
    is_torn: bool,
}

// === impl Lines ===

impl<W: Write> Lines<W> {
    /// Writes whole lines. Returns how many are lost because that failed.
    fn write(&mut self, lines: &[u8]) -> u64 {
        if self.is_torn && self.write_part(b"\n").is_ok() {
            self.is_torn = false;
        }
        let rest = self.write_part(lines).err().unwrap_or_default();
        if rest.len() < lines.len() {
            self.is_torn = !lines[..lines.len() - rest.len()].ends_with(b"\n");
        }
        let _ = self.output.flush();
        rest.split_inclusive(|byte| *byte == b'\n').count() as u64
    }

    /// Writes all of it, or returns the rest.
    fn write_part<'a>(&mut self, mut rest: &'a [u8]) -> Result<(), &'a [u8]> {
        while !rest.is_empty() {
            match self.output.write(rest) {
                Ok(0) => return Err(rest),
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Whoever shares the pipe or the terminal has set it so.
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(GATHER),
                Err(_) => return Err(rest),
            }
        }
        Ok(())
    }
}

impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let was_empty = {
            let mut waiting = self.0.waiting.lock();
            if !waiting.lines.is_empty() && waiting.lines.len() + line.len() > MAX_WAITING {
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
        // The first line is being written, and so waits no more.
        writer.write_all(b"first\n").unwrap();
        while !writer.0.waiting.lock().lines.is_empty() {
            thread::yield_now();
        }
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
    /// An output that takes so many bytes at once, and fails as often between them.
    struct Failing {
        taken: Arc<Mutex<Vec<u8>>>,
        at_once: usize,
        errors: Vec<ErrorKind>,
    }

    impl Write for Failing {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut taken = self.taken.lock();
            if taken.len() >= self.at_once
                && let Some(error) = self.errors.pop()
            {
                return Err(error.into());
            }
            let length = bytes.len().min(self.at_once);
            taken.extend(&bytes[..length]);
            Ok(length)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_output_that_takes_nothing_for_a_moment_loses_nothing() {
        let (taken, errors) = (Arc::default(), vec![ErrorKind::WouldBlock, ErrorKind::Interrupted]);
        let mut lines = Lines { output: Failing { taken: Arc::clone(&taken), at_once: 5, errors }, is_torn: false };
        assert_eq!(lines.write(b"one\ntwo\nthree\n"), 0);
        assert_eq!(*taken.lock(), b"one\ntwo\nthree\n");
    }

    #[test]
    fn lines_that_a_failure_loses_are_counted_and_the_next_begin_anew() {
        let (taken, errors) = (Arc::default(), vec![ErrorKind::BrokenPipe]);
        let mut lines = Lines { output: Failing { taken: Arc::clone(&taken), at_once: 5, errors }, is_torn: false };
        assert_eq!(lines.write(b"one\ntwo\nthree\n"), 2, "a part of the second is written");
        assert_eq!(lines.write(b"four\n"), 0);
        assert_eq!(*taken.lock(), b"one\nt\nfour\n");
    }
}
