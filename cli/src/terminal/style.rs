//! What the terminal can show, and how this program uses it: glyphs and colours.

use anstyle::{AnsiColor, Style as Ansi};
use std::time::Duration;

use crate::terminal::duration_format;

/// Which characters the terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charset {
    /// Block elements and box drawing.
    Unicode,
    /// Nothing beyond ASCII.
    Ascii,
}

/// How text is drawn. Every rendering is a pure function of its data, a width and this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// The characters to draw with.
    pub charset: Charset,
    /// Whether to use ANSI colours. Nothing is ever said by colour alone.
    pub colour: bool,
}

/// What a piece of text is, from which follows its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The name of a part.
    Heading,
    /// What matters less: axes, labels, trace ids.
    Quiet,
    /// A call that went well.
    Good,
    /// The same, where it is the one to look at.
    Critical,
    /// A failure.
    Bad,
    /// A call that was stopped.
    Stopped,
}

// === impl Style ===

impl Style {
    /// Unicode without colour.
    pub const PLAIN: Self = Self { charset: Charset::Unicode, colour: false };
    /// ASCII without colour.
    pub const ASCII: Self = Self { charset: Charset::Ascii, colour: false };

    /// The text in the colour of its role, where there are colours.
    pub fn paint(self, role: Role, text: &str) -> String {
        self.paint_with(role.ansi(), text)
    }

    /// The text in the colour of its role, with foreground and background exchanged.
    ///
    /// Only where there are colours: a caller that depends on it asks first.
    pub fn paint_inverted(self, role: Role, text: &str) -> String {
        self.paint_with(role.ansi().invert(), text)
    }

    /// A duration with three significant digits.
    pub fn duration(self, duration: Duration) -> String {
        self.plain(duration_format::human(duration))
    }

    /// A round duration: see [`duration_format::short`].
    pub fn short_duration(self, duration: Duration) -> String {
        self.plain(duration_format::short(duration))
    }

    /// The glyph, or what stands for it in ASCII.
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
        // An empty piece would be escapes around nothing.
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
    fn without_colour_the_text_is_what_it_was() {
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
