//! How a call is marked: its colour, and the note at the end of its row.

use crate::{
    gateway_client::report::{Call, CallState},
    terminal::style::{Role, Style},
};

/// Returns the role of a call's bar and note.
pub(super) fn role(call: &Call) -> Role {
    match call.state {
        CallState::Ok if call.critical => Role::Critical,
        CallState::Ok => Role::Good,
        CallState::Failed { .. } => Role::Bad,
        CallState::Cancelled | CallState::Unknown => Role::Stopped,
        CallState::Skipped => Role::Quiet,
    }
}

/// Returns the note at the end of a row: whether the call is critical, how it ended, how many times it was sent.
pub(super) fn note(call: &Call, compact: bool, style: Style) -> String {
    let mut parts = Vec::new();
    if call.critical {
        parts.push(style.glyph("◆", "*").to_owned());
    }
    let (glyph, words) = match &call.state {
        CallState::Ok => ("", ""),
        CallState::Failed { code, .. } => ("✗", *code),
        CallState::Cancelled => ("◌", "cancelled"),
        CallState::Skipped => ("–", "skipped"),
        CallState::Unknown => ("?", "unknown"),
    };
    if !glyph.is_empty() {
        parts.push(style.glyph(glyph, ascii(glyph)).to_owned());
    }
    if !compact && !words.is_empty() {
        parts.push(words.to_owned());
    }
    if !compact && call.attempts > 1 {
        parts.push(format!("{} attempts", call.attempts));
    }
    if !compact && call.hedges > 0 {
        parts.push(if call.hedge_won { "hedge won" } else { "hedge lost" }.to_owned());
    }
    parts.join(" ")
}

/// Returns the replacement of a glyph in ASCII.
pub(super) fn ascii(glyph: &str) -> &'static str {
    match glyph {
        "✗" => "x",
        "◌" => "~",
        "–" => "-",
        _ => "?",
    }
}
