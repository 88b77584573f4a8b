//! The one writer of standard output and standard error: log lines of all services, and a live line below them.

use std::time::Duration;

use serde_json::json;
use tokio::{
    io::{AsyncWriteExt as _, Stderr, Stdout, stderr, stdout},
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval},
};

use crate::{
    terminal::{
        capabilities,
        live_line::{ERASE, REFRESH},
        output::OutputArgs,
        text_layout::cut,
    },
    up::log::{
        record::{Notice, Request},
        sample::{Sample, Summary},
        short_line,
    },
};

/// How many messages wait for the terminal. More make their senders wait.
const QUEUE: usize = 1024;

/// How many messages are written at once.
const BATCH: usize = 256;

/// How long the end waits until the last lines are written: a terminal that was stopped with Ctrl-S takes none.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// Writes what other tasks send. A reader that has gone is no error: what it would have read is discarded.
pub(super) struct Console {
    sender: mpsc::Sender<Message>,
    task: JoinHandle<()>,
}

/// What is written.
#[derive(Debug)]
#[cfg_attr(test, derive(PartialEq))]
pub(crate) enum Message {
    /// Lines for standard output, with their ends.
    Out(String),
    /// Lines for standard error, with their ends.
    Err(String),
    /// A request that has ended.
    Request(Request),
    /// A warning of this service.
    Notice(&'static str, Notice),
    /// This many lines of a service were lost.
    Lost(&'static str, u64),
    /// Another live line, or none.
    Live(Option<LiveText>),
}

/// The text of a live line by the time since it is shown.
pub(crate) struct LiveText(Box<dyn Fn(Duration) -> String + Send>);

struct Writer {
    args: OutputArgs,
    stdout: Stdout,
    stderr: Stderr,
    /// Whether standard output is a terminal that can rewrite a line.
    is_live: bool,
    live: Option<(LiveText, Instant)>,
    sample: Sample,
    /// When the last request ended.
    last_time: String,
}

// === impl Console ===

impl Console {
    /// Starts to write, with colours and characters as these flags say.
    pub(super) fn start(args: &OutputArgs) -> Self {
        let (sender, messages) = mpsc::channel(QUEUE);
        let writer = Writer {
            args: args.clone(),
            stdout: stdout(),
            stderr: stderr(),
            is_live: capabilities::stdout_is_live(),
            live: None,
            sample: Sample::default(),
            last_time: String::new(),
        };
        Self { sender, task: tokio::spawn(writer.run(messages)) }
    }

    /// Returns a sender of messages. The console ends when all senders are dropped.
    pub(super) fn sender(&self) -> mpsc::Sender<Message> {
        self.sender.clone()
    }

    /// Prints lines on standard output.
    pub(super) async fn print(&self, lines: impl Into<String>) {
        self.send(Message::Out(lines.into())).await;
    }

    /// Prints lines on standard error.
    pub(super) async fn print_error(&self, lines: impl Into<String>) {
        self.send(Message::Err(lines.into())).await;
    }

    /// Shows a live line in place of the one before, on a terminal. It gets the time since now.
    pub(super) async fn show_live(&self, text: impl Fn(Duration) -> String + Send + 'static) {
        self.send(Message::Live(Some(LiveText(Box::new(text))))).await;
    }

    /// Erases the live line.
    pub(super) async fn hide_live(&self) {
        self.send(Message::Live(None)).await;
    }

    /// Waits until everything is written, unless it takes too long. All other senders have to be dropped before.
    pub(super) async fn finish(self) {
        drop(self.sender);
        let _ = tokio::time::timeout(END_TIMEOUT, self.task).await;
    }

    async fn send(&self, message: Message) {
        // A terminal that takes nothing must not keep the services from being stopped.
        let _ = self.sender.send_timeout(message, END_TIMEOUT).await;
    }
}

// === impl Writer ===

impl Writer {
    async fn run(mut self, mut messages: mpsc::Receiver<Message>) {
        let mut ticks = interval(REFRESH);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                count = messages.recv_many(&mut batch, BATCH) => {
                    if count == 0 {
                        break;
                    }
                    self.write(&mut batch).await;
                }
                _ = ticks.tick(), if self.live.is_some() || self.sample.is_open() => self.write(&mut batch).await,
            }
        }
        self.live = None;
        let summary = self.sample.end_early();
        let mut out = self.begin();
        self.push_summary(summary, &mut out);
        self.write_out(&out).await;
    }

    /// Writes all messages of the batch, and the live line below them.
    async fn write(&mut self, batch: &mut Vec<Message>) {
        let mut out = self.begin();
        let now = Instant::now();
        let summary = self.sample.end(now);
        self.push_summary(summary, &mut out);
        for message in batch.drain(..) {
            match message {
                Message::Err(lines) => {
                    self.write_out(&out).await;
                    out.clear();
                    // A failure loses only words that nobody can read any more.
                    let _ = self.stderr.write_all(lines.as_bytes()).await;
                    let _ = self.stderr.flush().await;
                }
                Message::Live(live) => {
                    // What has been counted belongs above what comes next.
                    let summary = self.sample.end_early();
                    self.push_summary(summary, &mut out);
                    self.live = live.map(|text| (text, now));
                }
                message => self.push(message, now, &mut out),
            }
        }
        if let (true, Some((LiveText(text), since))) = (self.is_live, &self.live) {
            let size = terminal_size::terminal_size_of(std::io::stdout());
            let columns = size.map_or(80, |(width, _)| usize::from(width.0));
            // One column less: a full line would wrap, and only its second half would be erased.
            let text = cut(&text(since.elapsed()), columns.saturating_sub(1), self.args.terminal().style);
            out.push_str(&text);
        }
        self.write_out(&out).await;
    }

    /// Returns the sequence that erases the line of the cursor on a terminal: a live line, or what the terminal shows of
    /// the keys that were typed, such as "^C".
    fn begin(&self) -> String {
        if self.is_live { ERASE.to_owned() } else { String::new() }
    }

    /// Adds a message for standard output.
    fn push(&mut self, message: Message, now: Instant, out: &mut String) {
        let line = match message {
            Message::Out(lines) => {
                out.push_str(&lines);
                return;
            }
            Message::Request(request) => {
                let is_shown = self.sample.is_shown(now, &request.code);
                let line = is_shown.then(|| short_line::request(&request, self.args.terminal()));
                self.last_time = request.time;
                line
            }
            Message::Notice(service, notice) => Some(short_line::notice(service, &notice, self.args.terminal())),
            Message::Lost(service, lines) => Some(self.lost(service, lines)),
            Message::Err(_) | Message::Live(_) => None,
        };
        if let Some(line) = line {
            out.push_str(&line);
            out.push('\n');
        }
    }

    fn push_summary(&self, summary: Option<Summary>, out: &mut String) {
        if let Some(summary) = summary {
            out.push_str(&short_line::summary(&summary, &self.last_time, self.args.terminal()));
            out.push('\n');
        }
    }

    fn lost(&self, service: &'static str, lines: u64) -> String {
        if self.args.json {
            let message = "log lines are lost: nothing has read them";
            return json!({ "level": "WARN", "service": service, "message": message, "lines": lines }).to_string();
        }
        short_line::lost(service, lines, self.args.terminal().width)
    }

    async fn write_out(&mut self, text: &str) {
        if !text.is_empty() {
            let _ = self.stdout.write_all(text.as_bytes()).await;
            let _ = self.stdout.flush().await;
        }
    }
}

// === impl LiveText ===

impl std::fmt::Debug for LiveText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LiveText")
    }
}

#[cfg(test)]
impl PartialEq for LiveText {
    fn eq(&self, _: &Self) -> bool {
        false
    }
}
