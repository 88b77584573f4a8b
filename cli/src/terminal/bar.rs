//! A horizontal bar on a row of character cells, with a resolution of an eighth of a cell.

use crate::terminal::style::{Charset, Role, Style};

/// The resolution of block elements: eighths of a cell.
pub const PER_CELL: usize = 8;

/// The blocks that fill a cell from the left, by eighths.
const FROM_LEFT: [&str; 9] = [" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"];

/// The fill of a bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// Full blocks, with edges at eighths of a cell.
    Solid,
    /// A character for each cell, in Unicode and in ASCII: distinct without colour too.
    Texture(&'static str, &'static str),
}

/// Draws a bar from one eighth to another on a row of `cells`, padded with spaces.
///
/// A bar of no length is drawn as one eighth, or as one cell of texture, so that it stays visible.
pub fn draw(from: usize, to: usize, cells: usize, fill: Fill, role: Role, style: Style) -> String {
    let end = cells * PER_CELL;
    let from = from.min(end.saturating_sub(1));
    let to = to.clamp(from + 1, end.max(from + 1));
    match (fill, style.charset) {
        (Fill::Solid, Charset::Unicode) => solid(from, to, cells, role, style),
        (Fill::Solid, Charset::Ascii) => texture(from, to, cells, "#", role, style),
        (Fill::Texture(unicode, ascii), _) => texture(from, to, cells, style.glyph(unicode, ascii), role, style),
    }
}

fn texture(from: usize, to: usize, cells: usize, glyph: &str, role: Role, style: Style) -> String {
    let nearest = |eighths: usize| (eighths + PER_CELL / 2) / PER_CELL;
    let first = nearest(from).min(cells.saturating_sub(1));
    let after = nearest(to).clamp(first + 1, cells.max(first + 1));
    row(first, &style.paint(role, &glyph.repeat(after - first)), cells.saturating_sub(after))
}

fn solid(from: usize, to: usize, cells: usize, role: Role, style: Style) -> String {
    let (first, offset) = (from / PER_CELL, from % PER_CELL);
    let (last, rest) = (to / PER_CELL, to % PER_CELL);
    let after = cells.saturating_sub(last + usize::from(rest > 0));
    if offset == 0 {
        let blocks = "█".repeat(last - first) + if rest > 0 { FROM_LEFT[rest] } else { "" };
        return row(first, &style.paint(role, &blocks), after);
    }
    if first == last {
        // Within one cell and at neither of its edges: Unicode has no such block; the nearest one starts at the left.
        return row(first, &style.paint(role, FROM_LEFT[rest - offset]), after);
    }
    let blocks = "█".repeat(last - first - 1) + if rest > 0 { FROM_LEFT[rest] } else { "" };
    row(first, &(right_part(offset, role, style) + &style.paint(role, &blocks)), after)
}

/// Returns a cell whose first `empty` eighths are empty.
///
/// Unicode has blocks from the left in all sizes, but from the right in two. With colours, the others are blocks from
/// the left with foreground and background exchanged.
fn right_part(empty: usize, role: Role, style: Style) -> String {
    if style.colour {
        return style.paint_inverted(role, FROM_LEFT[empty]);
    }
    match empty {
        0..=2 => "█".to_owned(),
        3..=5 => "▐".to_owned(),
        _ => "▕".to_owned(),
    }
}

fn row(before: usize, bar: &str, after: usize) -> String {
    format!("{}{bar}{}", " ".repeat(before), " ".repeat(after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(from: usize, to: usize) -> String {
        draw(from, to, 4, Fill::Solid, Role::Good, Style::PLAIN)
    }

    #[test]
    fn edges_are_at_eighths_if_unicode_has_the_block() {
        assert_eq!(plain(0, 32), "████");
        assert_eq!(plain(0, 13), "█▋  ");
        assert_eq!(plain(8, 16), " █  ");
        assert_eq!(plain(12, 32), " ▐██");
        assert_eq!(plain(15, 17), " ▕▏ ");
        assert_eq!(plain(9, 12), " ▍  ");
    }

    #[test]
    fn a_bar_is_always_visible_and_inside() {
        assert_eq!(plain(0, 0), "▏   ");
        assert_eq!(plain(32, 32), "   ▕");
        assert_eq!(plain(40, 50), "   ▕");
        let zero = draw(32, 32, 4, Fill::Texture("▒", "~"), Role::Stopped, Style::PLAIN);
        assert_eq!(zero, "   ▒");
    }

    #[test]
    fn ascii_and_textures_have_whole_cells() {
        assert_eq!(draw(4, 28, 4, Fill::Solid, Role::Good, Style::ASCII), " ###");
        assert_eq!(draw(0, 13, 4, Fill::Texture("▒", "~"), Role::Stopped, Style::ASCII), "~~  ");
    }

    #[test]
    fn with_colours_the_left_edge_is_at_eighths_too() {
        let colourful = Style { colour: true, ..Style::PLAIN };
        let bar = draw(5, 16, 3, Fill::Solid, Role::Good, colourful);
        assert_eq!(bar, "\u{1b}[7m\u{1b}[36m▋\u{1b}[0m\u{1b}[36m█\u{1b}[0m ");
    }
}
