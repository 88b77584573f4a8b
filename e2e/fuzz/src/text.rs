//! What holds for every text that comes from a caller.

use std::{fmt::Display, str};

/// The longest error about one value, in bytes: it repeats a part of the value, and says what is allowed.
const MAX_ERROR: usize = 2048;

/// Returns the input of a target that takes text, or `None` if it is not text.
pub(crate) fn text(input: &[u8]) -> Option<&str> {
    str::from_utf8(input).ok()
}

/// Asserts that an error can be shown: it has a length that does not depend on what was given, and no hidden
/// characters.
pub(crate) fn assert_error(error: &impl Display) {
    assert_error_within(error, MAX_ERROR);
}

/// Asserts the same of an error that may be longer.
pub(crate) fn assert_error_within(error: &impl Display, max: usize) {
    let error = error.to_string();
    assert!(!error.is_empty() && error.len() <= max, "an error of {} bytes: {error:.1000}", error.len());
    assert!(!error.contains(|c| is_hidden(c) && !is_filler(c)), "hidden characters in {error:?}");
}

/// Returns whether a character is invisible, or changes how others look: control characters, separators of lines,
/// annotations, and Unicode's property `Default_Ignorable_Code_Point`. Written down here, so that the product's own
/// list is compared with something.
pub(crate) fn is_hidden(c: char) -> bool {
    c.is_control()
        || is_filler(c)
        || matches!(
            c,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// Returns whether a character is a filler of Hangul. They are letters: `{:?}`, which quotes values in errors, writes
/// them as they are.
fn is_filler(c: char) -> bool {
    matches!(c, '\u{115f}'..='\u{1160}' | '\u{3164}' | '\u{ffa0}')
}
