//! The name of this program.

/// Returns the words with which this program was started, such as `target/release/fanout`: they can be typed again.
pub fn name() -> String {
    std::env::args().next().unwrap_or_else(|| "fanout".to_owned())
}
