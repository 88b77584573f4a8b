//! Jaeger JSON: what was read can be written, read again, and analysed. The decoder finds out the format by itself; the corpus
//! leads the search to this one.

/// Takes the input as a file.
pub fn run(input: &[u8]) {
    crate::traces::check(input);
}
