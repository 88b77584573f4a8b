//! Reads a service's standard output and standard error to their ends.

use std::time::Duration;

use service_kit::settings::LogFormat;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader},
    sync::{
        mpsc::{self, error::SendTimeoutError},
        watch,
    },
};

use crate::{
    terminal::text_layout::printable,
    up::{args::LogView, console::Message, log::record::Record},
};

/// The longest line that is kept in one piece, in bytes. Services bound what their callers can put into a line.
const MAX_LINE: u64 = 1 << 16;

/// How long a line waits for standard output to be read, while the service's next lines wait in its pipe and its own
/// queue. After this time its lines are lost, as on a terminal that was stopped with Ctrl-S.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a service's log says about its drain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DrainStatus {
    /// How many requests were in flight when it was last said.
    pub(crate) in_flight: Option<u64>,
    /// How many requests the end of the drain cut off.
    pub(crate) cut_off: Option<u64>,
}

/// Sends the lines of one pipe to the console.
#[derive(Debug)]
pub(crate) struct LineSender {
    service: &'static str,
    console: mpsc::Sender<Message>,
    lost: u64,
}

/// Sends what a service logs to the console, until the service has closed its standard output.
pub(crate) async fn read_log(
    pipe: impl AsyncRead + Unpin,
    view: LogView,
    mut lines: LineSender,
    drain: watch::Sender<DrainStatus>,
) {
    let service = lines.service;
    let message = |line: String| match view {
        LogView::Full { format: LogFormat::Text | LogFormat::Json, .. } => Some(Message::Out(line)),
        LogView::Short => match Record::parse(&line) {
            Some(Record::Request(request)) => Some(Message::Request(request)),
            Some(Record::Notice(notice)) => Some(Message::Notice(service, notice)),
            Some(Record::Draining(in_flight)) => {
                drain.send_modify(|status| status.in_flight = Some(in_flight));
                None
            }
            Some(Record::CutOff(requests)) => {
                drain.send_modify(|status| status.cut_off = Some(requests));
                None
            }
            Some(Record::Other) => None,
            None => Some(Message::Out(format!("{}\n", printable(line.trim_end())))),
        },
    };
    read_lines(pipe, &mut lines, message).await;
}

/// Sends a service's standard error to the console, until the service has closed it.
pub(crate) async fn read_errors(pipe: impl AsyncRead + Unpin, mut lines: LineSender) {
    read_lines(pipe, &mut lines, |line| Some(Message::Err(line))).await;
}

async fn read_lines(pipe: impl AsyncRead + Unpin, lines: &mut LineSender, message: impl Fn(String) -> Option<Message>) {
    let mut pipe = BufReader::new(pipe);
    let mut line = Vec::new();
    // A pipe that cannot be read is at its end: its process has gone.
    while let Ok(1..) = (&mut pipe).take(MAX_LINE).read_until(b'\n', &mut line).await {
        let is_last_words = !line.ends_with(b"\n") && (line.len() as u64) < MAX_LINE;
        if is_last_words {
            line.push(b'\n');
        }
        if let Some(message) = message(String::from_utf8_lossy(&line).into_owned()) {
            lines.send(message).await;
        }
        line.clear();
    }
    lines.report_lost().await;
}

// === impl LineSender ===

impl LineSender {
    /// Creates the sender for a pipe of this service.
    pub(crate) fn new(service: &'static str, console: mpsc::Sender<Message>) -> Self {
        Self { service, console, lost: 0 }
    }

    /// Sends a line. Waits for the console for a while; after that, lines are counted as lost until it takes one.
    async fn send(&mut self, message: Message) {
        if self.lost > 0 {
            if self.console.try_send(Message::Lost(self.service, self.lost)).is_err() {
                self.lost += 1;
                return;
            }
            self.lost = 0;
        }
        if let Err(SendTimeoutError::Timeout(_)) = self.console.send_timeout(message, PATIENCE).await {
            self.lost = 1;
        }
    }

    async fn report_lost(&mut self) {
        if self.lost > 0 {
            let _ = self.console.send_timeout(Message::Lost(self.service, self.lost), PATIENCE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `text` as a service's log into a console with room for `room` messages, whose first message is taken after
    /// everything was read.
    async fn read(text: &str, view: LogView, room: usize) -> (Vec<Message>, DrainStatus) {
        let (console, mut messages) = mpsc::channel(room);
        let (drain, status) = watch::channel(DrainStatus::default());
        read_log(text.as_bytes(), view, LineSender::new("gateway", console), drain).await;
        let mut taken = Vec::new();
        while let Some(message) = messages.recv().await {
            taken.push(message);
        }
        (taken, *status.borrow())
    }

    fn full() -> LogView {
        LogView::Full { filter: "info".to_owned(), format: LogFormat::Text }
    }

    #[tokio::test]
    async fn the_full_log_is_passed_on_as_it_is() {
        let (messages, _) = read("one\n\u{1b}[32mtwo\u{1b}[0m\nlast words", full(), 9).await;
        let lines = ["one\n", "\u{1b}[32mtwo\u{1b}[0m\n", "last words\n"];
        assert_eq!(messages, lines.map(|line| Message::Out(line.to_owned())));
    }

    #[tokio::test]
    async fn an_endless_line_comes_in_pieces() {
        let size = usize::try_from(MAX_LINE).unwrap();
        let (messages, _) = read(&"x".repeat(size + 1), full(), 9).await;
        assert_eq!(messages, [Message::Out("x".repeat(size)), Message::Out("x\n".to_owned())]);
    }

    #[tokio::test]
    async fn a_drain_is_no_line_of_the_short_log() {
        let line =
            r#"{"timestamp":"T","level":"INFO","target":"service_kit::drain","message":"draining","in_flight":3}"#;
        let (messages, status) = read(&format!("{line}\nno record\u{1b}\n"), LogView::Short, 9).await;
        assert_eq!(messages, [Message::Out("no record\\u{1b}\n".to_owned())]);
        assert_eq!(status, DrainStatus { in_flight: Some(3), cut_off: None });
    }

    #[tokio::test(start_paused = true)]
    async fn lines_that_nothing_reads_are_lost_after_a_while_and_counted() {
        let begun = tokio::time::Instant::now();
        let (messages, _) = read("1\n2\n3\n4\n5\n", full(), 2).await;
        // The two that had room; the report at the end of the pipe has none either.
        assert_eq!(messages, ["1\n", "2\n"].map(|line| Message::Out(line.to_owned())));
        assert_eq!(begun.elapsed(), 2 * PATIENCE, "the first lost line waited, and the report");
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_of_lost_lines_comes_before_the_next_line() {
        let (console, mut messages) = mpsc::channel(1);
        let mut lines = LineSender::new("gateway", console);
        let line = |text: &str| Message::Out(text.to_owned());
        for text in ["1", "2", "3"] {
            lines.send(line(text)).await;
        }
        assert_eq!(messages.recv().await, Some(line("1")));
        let ((), next) = tokio::join!(lines.send(line("4")), async { [messages.recv().await, messages.recv().await] });
        assert_eq!(next, [Some(Message::Lost("gateway", 2)), Some(line("4"))]);
    }
}
