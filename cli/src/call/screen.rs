//! Shows a reply to people: messages of a stream as they arrive, then the calls as bars, and the reply.

use std::{fmt::Write as _, io, time::Duration};

use serde_json::Value;

use crate::{
    call::{
        args::CallArgs,
        exchange::{Ended, Reader},
        json_layout::JsonLayout,
        other_clients,
        rpc::{Reply, Rpc},
    },
    compare::{run::Run, verdict, waterfall},
    gateway_client::request::{RequestOptions, Strategy},
    terminal::{
        capabilities::Terminal,
        stdout,
        style::Role,
        text_layout::{counted, pad, pad_left, printable, width, wrap},
    },
};

/// The columns of a duration, such as `3.00 s`, at the start of a row.
const TIME: usize = 8;

/// The columns before the commands of other clients.
const INDENT: usize = 2;

/// Shows a reply on a terminal.
pub(super) struct Screen {
    /// What is asked for, until it is printed.
    title: Option<String>,
    rpc: Rpc,
    options: RequestOptions,
    strategy: Option<Strategy>,
    terminal: Terminal,
    layout: JsonLayout,
    /// The columns of the longest id.
    id: usize,
    /// A unary reply without its report, which is drawn.
    reply: Option<Value>,
}

// === impl Screen ===

impl Screen {
    pub(super) fn new(args: &CallArgs, rpc: &Rpc) -> Self {
        let terminal = args.output.terminal();
        let Terminal { width, style } = terminal;
        let users = match &*args.users {
            [user] => user.to_string(),
            users => counted(users.len() as u64, "user"),
        };
        let title = format!("{} of {users} at {}", rpc.name(), args.options.gateway);
        Self {
            title: Some(format!("{}\n\n", style.paint(Role::Quiet, &title))),
            rpc: rpc.clone(),
            options: args.options.clone(),
            strategy: args.strategy,
            terminal,
            layout: JsonLayout { width, style, full: args.full },
            id: args.users.iter().map(|user| self::width(&user.to_string())).max().unwrap_or(0),
            reply: None,
        }
    }

    /// Prints the text, and what is asked for before the first one: a request that is rejected prints nothing.
    fn print(&mut self, text: &str) -> io::Result<()> {
        stdout::print(&(self.title.take().unwrap_or_default() + text))
    }

    /// Returns a row for a message of a stream: when it arrived, the id, and the user or why there is none.
    fn row(&self, message: &Value, waited: Duration) -> Option<String> {
        let style = self.terminal.style;
        let id = message.get("userId")?.as_str()?;
        let start = format!("{}  {}  ", pad_left(&style.duration(waited), TIME), pad(&printable(id), self.id));
        let columns = self.terminal.width.saturating_sub(width(&start));
        let content = match (message.get("user"), message.get("error")) {
            (Some(user), _) => self.layout.line(user, columns),
            (None, Some(error)) => {
                let text = error.get("message").and_then(Value::as_str).unwrap_or_default();
                let text = format!("{} {}", style.glyph("✗", "x"), printable(text));
                style.paint(
                    Role::Bad,
                    &wrap(&text, columns, 2).replace('\n', &format!("\n{}", " ".repeat(width(&start)))),
                )
            }
            (None, None) => return None,
        };
        Some(format!("{start}{content}\n"))
    }

    /// Returns the calls as bars and what overlapping them saved, or the error if there is no report.
    fn picture(&self, ended: Ended) -> String {
        let Terminal { width, style } = self.terminal;
        let report = match &ended.result {
            Ok(report) => report.as_ref(),
            Err(error) => error.report.as_ref(),
        };
        let strategy = report.and_then(|report| report.strategy).or(self.strategy);
        let run =
            Run { strategy: strategy.unwrap_or(Strategy::Concurrent), waited: ended.waited, result: ended.result };
        let mut text = waterfall::waterfall(std::slice::from_ref(&run), width, style);
        if run.complete().is_some() {
            text.push('\n');
            for sentence in verdict::verdict(&[run], style).lines() {
                text.push_str(&(wrap(sentence, width, 0) + "\n"));
            }
        }
        text
    }
}

impl Reader for Screen {
    fn message(&mut self, reply: &Reply, waited: Duration) -> io::Result<()> {
        let mut message = reply.json();
        if self.rpc.is_stream() {
            let row = self.row(&message, waited);
            return row.map_or(Ok(()), |row| self.print(&row));
        }
        if let Some(fields) = message.as_object_mut() {
            fields.remove("report");
        }
        self.reply = Some(message);
        Ok(())
    }

    fn end(&mut self, ended: Ended) -> io::Result<()> {
        let style = self.terminal.style;
        let before = if self.rpc.is_stream() { "\n" } else { "" };
        let mut text = before.to_owned() + &self.picture(ended);
        if let Some(reply) = &self.reply {
            let _ = writeln!(text, "\n{}", self.layout.lines(reply).join("\n"));
        }
        let _ = writeln!(text, "\n{}", style.paint(Role::Quiet, "The same with other clients:"));
        for command in other_clients::commands(&self.rpc, &self.options, self.terminal.width - INDENT) {
            let _ = writeln!(text, "  {}", command.replace('\n', "\n  "));
        }
        self.print(&text)
    }
}
