//! Private parts for `e2e/fuzz`: no part of the API.

use std::{
    io,
    sync::{Arc, LazyLock},
};

use parking_lot::Mutex;
use tracing::Dispatch;

use super::log_format::{LogFormatter, NoSpanFields};
use crate::settings::LogFormat;

/// A log that keeps what is written.
struct Log {
    dispatch: Dispatch,
    written: Written,
}

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

static TEXT: LazyLock<Log> = LazyLock::new(|| Log::new(LogFormat::Text));
static JSON: LazyLock<Log> = LazyLock::new(|| Log::new(LogFormat::Json));

/// Returns what is logged for an event with this text as its message, and as the values of fields.
///
/// # Panics
///
/// Panics if the line is not UTF-8.
pub fn log_line(format: LogFormat, text: &str) -> String {
    let log = match format {
        LogFormat::Text => &*TEXT,
        LogFormat::Json => &*JSON,
    };
    tracing::dispatcher::with_default(&log.dispatch, || {
        tracing::info!(cause = ?text, value = text, "{text}");
    });
    String::from_utf8(std::mem::take(&mut *log.written.0.lock())).expect("lines are UTF-8")
}

// === impl Log ===

impl Log {
    fn new(format: LogFormat) -> Self {
        let written = Written::default();
        let writer = written.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .fmt_fields(NoSpanFields)
            .event_format(LogFormatter { service: "fuzz", format })
            .with_writer(move || writer.clone())
            .finish();
        Self { dispatch: Dispatch::new(subscriber), written }
    }
}

// === impl Written ===

impl io::Write for Written {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
