//! How lines of the short log look.

use std::time::Duration;

use crate::{
    terminal::{
        capabilities::Terminal,
        style::{Role, Style},
        text_layout::{counted, cut, grouped, pad, pad_left, printable, wrap},
    },
    up::log::{
        record::{Notice, Request},
        sample::Summary,
    },
};

/// The widths of the columns. A longer method is cut; codes are no longer than this.
const METHOD: usize = 16;
const WIDE_METHOD: usize = 24;
const CODE: usize = 19;
const DURATION: usize = 7;

/// The width from which there is room for longer methods.
const WIDE: usize = 100;

/// Where the second column begins: continued lines are indented by as much.
const INDENT: usize = 11;

/// Formats a request that has ended: time of day, method, code, duration, and what was saved.
pub(crate) fn request(request: &Request, Terminal { width, style }: Terminal) -> String {
    let Request { time, method, code, duration_ms, saved_ms } = request;
    let columns = if width >= WIDE { WIDE_METHOD } else { METHOD };
    let method = pad(&cut(&printable(method), columns, style), columns);
    let role = match code.as_str() {
        "OK" => Role::Good,
        "CANCELLED" => Role::Stopped,
        _ => Role::Bad,
    };
    let code = style.paint(role, &pad(&printable(code), CODE));
    let duration = match duration_ms {
        0 => "< 1 ms".to_owned(),
        // The log has whole milliseconds: no digits after the point.
        millis @ ..1000 => format!("{millis} ms"),
        millis => style.duration(Duration::from_millis(*millis)),
    };
    let duration = pad_left(&duration, DURATION);
    let saved = saved_ms.map(|millis| format!("  saved {}", pad_left(&saved_time(millis, style), DURATION)));
    format!("{}  {method}  {code}  {duration}{}", clock(time, style), saved.unwrap_or_default())
}

/// Formats a warning or an error.
pub(crate) fn notice(service: &str, notice: &Notice, Terminal { width, style }: Terminal) -> String {
    let Notice { time, level, text } = notice;
    let role = match level.as_str() {
        "ERROR" => Role::Bad,
        "WARN" => Role::Stopped,
        _ => Role::Quiet,
    };
    let plain = format!("{time}Z  {level} {service}: {}", printable(text));
    let lines = wrap(&plain, width, INDENT);
    let (clock, label) = (style.paint(Role::Quiet, &format!("{time}Z")), style.paint(role, level));
    lines.replacen(&format!("{time}Z  {level}"), &format!("{clock}  {label}"), 1)
}

/// Formats the requests of a second that are not shown, the last of which ended at this time of day.
pub(crate) fn summary(summary: &Summary, time: &str, Terminal { width, style }: Terminal) -> String {
    let count: u64 = summary.codes.iter().map(|(_, count)| count).sum();
    let codes: Vec<_> =
        summary.codes.iter().map(|(code, count)| format!("{} {}", grouped(*count), printable(code))).collect();
    let ellipsis = style.glyph("…", "...");
    let requests = counted(count, if summary.has_shown { "more request" } else { "request" });
    let text = format!("{ellipsis} {requests} in this second: {}", codes.join(", "));
    let plain = format!("{time}Z  {text}");
    let lines = wrap(&plain, width, INDENT);
    lines.replacen(&format!("{time}Z"), &clock(time, style), 1)
}

/// Formats how many lines were lost.
pub(crate) fn lost(service: &str, lines: u64, width: usize) -> String {
    let text = format!("fanout: {} of the {service} lost: nothing has read the log", counted(lines, "line"));
    wrap(&text, width, 2)
}

fn clock(time: &str, style: Style) -> String {
    style.paint(Role::Quiet, &format!("{time}Z"))
}

fn saved_time(millis: f64, style: Style) -> String {
    // A negative or infinite figure would be a defect of the gateway; it must not end this program.
    Duration::try_from_secs_f64(millis / 1e3).map_or_else(|_| "?".to_owned(), |saved| style.duration(saved))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::text_layout::width;

    const NARROW: Terminal = Terminal { width: 80, style: Style::PLAIN };

    fn ended(method: &str, code: &str, duration_ms: u64, saved_ms: Option<f64>) -> Request {
        let text = str::to_owned;
        Request { time: text("03:10:40"), method: text(method), code: text(code), duration_ms, saved_ms }
    }

    #[test]
    fn requests_are_aligned_and_fit() {
        let lines = [
            ended("GetProfile", "OK", 3004, Some(3001.25)),
            ended("StreamUsers", "FAILED_PRECONDITION", 0, None),
            ended("AMethodWithAVeryLongName", "CANCELLED", 120_000, Some(0.0)),
            ended("GetProfile", "OK", 17, Some(15.25)),
        ]
        .map(|ended| request(&ended, NARROW));
        assert_eq!(
            lines,
            [
                "03:10:40Z  GetProfile        OK                    3.00 s  saved  3.00 s",
                "03:10:40Z  StreamUsers       FAILED_PRECONDITION   < 1 ms",
                "03:10:40Z  AMethodWithAVer…  CANCELLED              120 s  saved     0 s",
                "03:10:40Z  GetProfile        OK                     17 ms  saved 15.2 ms",
            ]
        );
        assert!(lines.iter().all(|line| width(line) <= 80));
        let wide = request(&ended("AMethodWithAVeryLongName", "OK", 1, None), Terminal { width: 120, ..NARROW });
        assert!(wide.contains("AMethodWithAVeryLongName"), "{wide}");
    }

    #[test]
    fn escape_sequences_of_a_caller_do_not_reach_the_terminal() {
        assert!(!request(&ended("\u{1b}[2J", "OK", 1, None), NARROW).contains('\u{1b}'));
    }

    #[test]
    fn ascii_is_ascii() {
        let ascii = Terminal { width: 80, style: Style::ASCII };
        let codes = vec![("OK".to_owned(), 4812)];
        let line = summary(&Summary { codes, has_shown: true }, "03:10:40", ascii);
        assert_eq!(line, "03:10:40Z  ... 4,812 more requests in this second: 4,812 OK");
        let line = request(&ended("GetProfile", "OK", 1, Some(0.0854)), ascii);
        assert!(line.is_ascii() && line.ends_with("saved 85.4 us"), "{line}");
    }

    #[test]
    fn long_notices_are_wrapped_at_spaces() {
        let text =
            "the backend cannot be reached at any of its addresses, and calls to it fail until it can".to_owned();
        let warning = Notice { time: "03:10:40".to_owned(), level: "WARN".to_owned(), text };
        assert_eq!(
            notice("gateway", &warning, NARROW),
            "03:10:40Z  WARN gateway: the backend cannot be reached at any of its addresses,\n           \
             and calls to it fail until it can"
        );
        let colourful = Terminal { style: Style { colour: true, ..Style::PLAIN }, ..NARROW };
        assert!(notice("gateway", &warning, colourful).contains("\u{1b}[33mWARN\u{1b}[0m gateway: "));
    }
}
