//! Glyphs and colours.

use anstyle::{AnsiColor, Style as Ansi};
use std::time::Duration;

use crate::terminal::duration_format;

/// The characters that the terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charset {
    /// Block elements and box drawing.
    Unicode,
    /// ASCII only.
    Ascii,
}

/// How text is drawn. Every drawing is a pure function of its data, a width and a style.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// The characters to draw with.
    pub charset: Charset,
    /// Whether to use ANSI colours. Colour never carries meaning on its own.
    pub colour: bool,
}

/// The role of a piece of text, which determines its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A heading.
    Heading,
    /// Secondary text: axes, labels, trace ids.
    Quiet,
    /// A successful call.
    Good,
    /// The successful call that ended last.
    Critical,
    /// A failure.
    Bad,
    /// A cancelled call.
    Stopped,
}

// === impl Style ===

impl Style {
    /// Unicode without colour.
    pub const PLAIN: Self = Self { charset: Charset::Unicode, colour: false };
    /// ASCII without colour.
    pub const ASCII: Self = Self { charset: Charset::Ascii, colour: false };

    /// Returns the text in the colour of its role if colours are used.
    pub fn paint(self, role: Role, text: &str) -> String {
        self.paint_with(role.ansi(), text)
    }

    /// Returns the text in the colour of its role with foreground and background exchanged.
    ///
    /// Without colours it returns the text as it is; a caller that needs the exchange checks `colour` first.
    pub fn paint_inverted(self, role: Role, text: &str) -> String {
        self.paint_with(role.ansi().invert(), text)
    }

    /// Formats a duration with three significant digits.
    pub fn duration(self, duration: Duration) -> String {
        self.plain(duration_format::human(duration))
    }

    /// Formats a round duration: see [`duration_format::short`].
    pub fn short_duration(self, duration: Duration) -> String {
        self.plain(duration_format::short(duration))
    }

    /// Returns the glyph, or its replacement in ASCII.
    pub fn glyph(self, unicode: &'static str, ascii: &'static str) -> &'static str {
        match self.charset {
            Charset::Unicode => unicode,
            Charset::Ascii => ascii,
        }
    }

    fn plain(self, text: String) -> String {
        match self.charset {
            Charset::Unicode => text,
            Charset::Ascii => text.replace('µ', "u"),
        }
    }

    fn paint_with(self, ansi: Ansi, text: &str) -> String {
        // An empty text needs no escape sequences.
        if self.colour && !text.is_empty() { format!("{ansi}{text}{ansi:#}") } else { text.to_owned() }
    }
}

// === impl Role ===

impl Role {
    fn ansi(self) -> Ansi {
        match self {
            Self::Heading => Ansi::new().bold(),
            Self::Quiet => Ansi::new().dimmed(),
            Self::Good => AnsiColor::Cyan.on_default(),
            Self::Critical => AnsiColor::Cyan.on_default().bold(),
            Self::Bad => AnsiColor::Red.on_default(),
            Self::Stopped => AnsiColor::Yellow.on_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_colour_the_text_is_unchanged() {
        assert_eq!(Style::PLAIN.paint(Role::Bad, "x"), "x");
        let colourful = Style { colour: true, ..Style::PLAIN };
        assert_eq!(colourful.paint(Role::Bad, "x"), "\u{1b}[31mx\u{1b}[0m");
        assert_eq!(colourful.paint(Role::Bad, ""), "");
    }

    #[test]
    fn ascii_has_no_micro_sign() {
        assert_eq!(Style::ASCII.duration(Duration::from_micros(85)), "85.0 us");
    }
}
