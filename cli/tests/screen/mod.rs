//! A terminal that a test can read and type into: a pseudo-terminal of a given size, and the screen that it shows.

#![allow(clippy::unwrap_used, dead_code, unreachable_pub, reason = "every test uses a part of it")]

use std::{
    num::NonZeroU16,
    sync::{Arc, Mutex},
    time::Duration,
};

use pty_process::{Command, OwnedReadPty, OwnedWritePty, Size};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::Child,
    sync::watch,
    task::JoinHandle,
};
use vt100::Parser;

/// The upper bound for each wait as a whole; a test that waits longer fails with what the screen shows.
pub const TIMEOUT: Duration = Duration::from_mins(1);

/// The key that interrupts a program.
pub const CTRL_C: &[u8] = b"\x03";

/// How many lines above the screen are kept.
const SCROLLBACK: usize = 10_000;

/// The `fanout` binary in a terminal. It is killed when this is dropped.
pub struct Screen {
    process: Child,
    keyboard: OwnedWritePty,
    parser: Arc<Mutex<Parser>>,
    /// Changes with what the screen shows.
    changes: watch::Receiver<()>,
    reader: JoinHandle<()>,
}

/// What the terminal shows after the program has ended.
pub struct Ended {
    /// The program's exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// The lines, with those that have left the screen at its top, without the spaces at their ends.
    pub lines: Vec<String>,
    /// Whether the cursor is visible.
    pub shows_cursor: bool,
    /// The row of the cursor on the screen.
    pub cursor_row: u16,
}

// === impl Screen ===

impl Screen {
    /// Starts `fanout` with these arguments in a terminal of `columns` and 50 rows.
    pub fn start(columns: u16, args: &[&str]) -> Self {
        Self::start_with(columns, 50, args, &[])
    }

    /// Starts `fanout` with these arguments and environment variables in a terminal of this size.
    pub fn start_with(columns: u16, rows: u16, args: &[&str], env: &[(&str, &str)]) -> Self {
        let (pty, terminal) = pty_process::open().unwrap();
        pty.resize(Size::new(rows, columns)).unwrap();
        let process = fanout()
            .args(args)
            .env_remove("COLUMNS")
            .env_remove("FANOUT_GATEWAY")
            .env_remove("NO_COLOR")
            .env("TERM", "xterm-256color")
            .env("LC_ALL", "C.UTF-8")
            .envs(env.iter().copied())
            .kill_on_drop(true)
            .spawn(terminal)
            .unwrap();
        let size = |number| NonZeroU16::new(number).unwrap();
        let parser = Arc::new(Mutex::new(Parser::new(size(rows), size(columns), SCROLLBACK)));
        let (redraw, changes) = watch::channel(());
        let (output, keyboard) = pty.into_split();
        let reader = tokio::spawn(read(output, Arc::clone(&parser), redraw));
        Self { process, keyboard, parser, changes, reader }
    }

    /// Types these keys.
    pub async fn type_keys(&mut self, keys: &[u8]) {
        self.keyboard.write_all(keys).await.unwrap();
    }

    /// Returns the process id.
    pub fn pid(&self) -> u32 {
        self.process.id().unwrap()
    }

    /// Returns the lines that the screen shows now, with those that have left it at its top.
    pub fn lines(&self) -> Vec<String> {
        lines(&mut self.parser.lock().unwrap())
    }

    /// Waits until the lines fulfil the condition, and returns them. `what` describes it if it does not come.
    pub async fn wait_for(&mut self, what: &str, condition: impl Fn(&[String]) -> bool) -> Vec<String> {
        let (parser, changes) = (Arc::clone(&self.parser), &mut self.changes);
        let found = async {
            loop {
                changes.mark_unchanged();
                let lines = lines(&mut parser.lock().unwrap());
                if condition(&lines) {
                    return Some(lines);
                }
                // Fails after the program has ended: nothing more will come.
                if changes.changed().await.is_err() {
                    let lines = self::lines(&mut parser.lock().unwrap());
                    return condition(&lines).then_some(lines);
                }
            }
        };
        let found = tokio::time::timeout(TIMEOUT, found).await.ok().flatten();
        found.unwrap_or_else(|| panic!("{what} is not on the screen:\n{}", self.lines().join("\n")))
    }

    /// Waits until a line contains the text, and returns all lines.
    pub async fn wait_for_text(&mut self, text: &str) -> Vec<String> {
        self.wait_for(text, |lines| lines.iter().any(|line| line.contains(text))).await
    }

    /// Waits until the program ends, and returns what the terminal shows then.
    pub async fn end(mut self) -> Ended {
        let ended = async {
            let status = self.process.wait().await.unwrap();
            (&mut self.reader).await.unwrap();
            status
        };
        let Ok(status) = tokio::time::timeout(TIMEOUT, ended).await else {
            panic!("the program does not end:\n{}", self.lines().join("\n"));
        };
        let parser = &mut self.parser.lock().unwrap();
        Ended {
            code: status.code(),
            lines: lines(parser),
            shows_cursor: !parser.screen().hide_cursor(),
            cursor_row: parser.screen().cursor_position().0,
        }
    }
}

/// Returns a command for the binary. As in every terminal, a hang-up ends it, also if whoever started the tests ignores
/// hang-ups, as `nohup` does.
fn fanout() -> Command {
    let binary = env!("CARGO_BIN_EXE_fanout");
    if cfg!(target_os = "linux") {
        Command::new("env").args(["--default-signal=HUP", binary])
    } else {
        Command::new(binary)
    }
}

/// Shows the program's output on the screen until the last process has closed the terminal.
async fn read(mut output: OwnedReadPty, parser: Arc<Mutex<Parser>>, changed: watch::Sender<()>) {
    let mut bytes = [0; 4096];
    // Linux reports the end as an error, other systems as the end of a file.
    while let Ok(count @ 1..) = output.read(&mut bytes).await {
        parser.lock().unwrap().process(&bytes[..count]);
        changed.send_replace(());
    }
}

/// Returns all lines up to the last one that is not empty.
fn lines(parser: &mut Parser) -> Vec<String> {
    let screen = parser.screen_mut();
    let columns = screen.size().1.get();
    let mut lines = Vec::new();
    for above in (1..=screen.scrollback_len()).rev() {
        screen.set_scrollback(above);
        lines.extend(screen.rows(0, columns).take(1));
    }
    screen.set_scrollback(0);
    lines.extend(screen.rows(0, columns));
    for line in &mut lines {
        line.truncate(line.trim_end().len());
    }
    let used = lines.iter().rposition(|line| !line.is_empty()).map_or(0, |last| last + 1);
    lines.truncate(used);
    lines
}

// === impl Ended ===

impl Ended {
    /// Returns all lines as one text.
    pub fn text(&self) -> String {
        self.lines.join("\n")
    }
}
