//! The part of an invalid value that error messages repeat.

/// The longest part of a value that an error repeats, in characters.
const MAX_CHARS: usize = 64;

/// Returns at most the first 64 characters of `given`, with an ellipsis if it is longer.
pub(crate) fn excerpt(given: &str) -> String {
    let mut chars = given.chars();
    let mut text: String = chars.by_ref().take(MAX_CHARS).collect();
    if chars.next().is_some() {
        text.push('…');
    }
    text
}
