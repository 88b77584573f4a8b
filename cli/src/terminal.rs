//! Drawing on a terminal.
//!
//! # Layout
//!
//! * [`output`]: the flags; [`capabilities`]: what the terminal can show.
//! * [`style`], [`text_layout`], [`duration_format`], [`scale`], [`bar`], [`axis`]: drawing; pure functions.
//! * [`program`]: what this program was started as; [`shell`]: commands that can be copied.
//! * [`stdout`]: prints a result; [`live_line`]: a line of progress on standard error; [`live_region`]: a drawing on
//!   standard output that is redrawn in place.

pub mod axis;
pub mod bar;
pub mod capabilities;
pub mod duration_format;
pub mod live_line;
pub mod live_region;
pub mod output;
pub mod program;
pub mod scale;
pub mod shell;
pub mod stdout;
pub mod style;
pub mod text_layout;
