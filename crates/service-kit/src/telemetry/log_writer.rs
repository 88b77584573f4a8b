//! Writes log lines on a thread of its own: a standard output that nothing reads stops no request.
//!
//! `tracing-appender` has the same, but its end writes to standard output too, and waits for ever where nothing reads it.

use std::{
    io::{self, BufWriter, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, Receiver, SyncSender},
    },
    thread,
    time::Duration,
};

use tracing_subscriber::fmt::MakeWriter;

/// How many lines wait to be written. More are lost, and counted: with their memory a service would end instead.
const QUEUE: usize = 16_384;

/// How many bytes are written at once under load.
const BUFFER: usize = 1 << 16;

/// How long lines are gathered after some were written. To wake a thread and to write costs ten times what a line does: under
/// load that is shared by many. After a pause, a line is written at once.
const GATHER: Duration = Duration::from_millis(5);

/// Takes log lines, and waits for nothing. Clones share one queue.
#[derive(Clone, Debug)]
pub(super) struct LogWriter {
    queue: SyncSender<Entry>,
    lost: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Entry {
    Line(Vec<u8>),
    /// Everything before it is to be written, and this sender dropped.
    Flush(SyncSender<()>),
}

// === impl LogWriter ===

impl LogWriter {
    /// Starts the thread that writes to `output`.
    pub(super) fn start(output: impl Write + Send + 'static) -> io::Result<Self> {
        let (queue, entries) = mpsc::sync_channel(QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&lost);
        thread::Builder::new().name("log".to_owned()).spawn(move || write_all(output, &entries, &count))?;
        Ok(Self { queue, lost })
    }

    /// Waits until all lines so far are written.
    pub(super) fn flush_all(&self) {
        let (flushed, done) = mpsc::sync_channel(0);
        if self.queue.send(Entry::Flush(flushed)).is_ok() {
            // An error is the answer: the sender was dropped.
            let _ = done.recv();
        }
    }
}

/// Writes until all senders are gone. A failure loses lines only: a closed standard output must not end the service.
fn write_all(output: impl Write, entries: &Receiver<Entry>, lost: &AtomicU64) {
    let mut output = BufWriter::with_capacity(BUFFER, output);
    while let Ok(first) = entries.recv() {
        for entry in std::iter::once(first).chain(entries.try_iter()) {
            match entry {
                Entry::Line(line) => {
                    let _ = output.write_all(&line);
                }
                Entry::Flush(flushed) => {
                    let _ = output.flush();
                    drop(flushed);
                }
            }
        }
        let _ = output.flush();
        let lines = lost.swap(0, Ordering::Relaxed);
        if lines > 0 {
            tracing::warn!(lines, "log lines are lost: nothing has read standard output");
        }
        thread::sleep(GATHER);
    }
}

impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.queue.try_send(Entry::Line(line.to_vec())).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
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
    use std::time::Instant;

    use parking_lot::Mutex;

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
        // What does not fit into the buffer and the queue is counted.
        let line = [b'x'; 1024];
        for _ in 0..2 * QUEUE {
            writer.write_all(&line).unwrap();
        }
        assert!(writer.lost.load(Ordering::Relaxed) > 0);
        drop(blocked);
        writer.flush_all();
        assert!(output.0.lock().len() >= QUEUE * line.len(), "what was in the queue is written");
    }
}
