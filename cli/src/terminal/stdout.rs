//! Prints results on standard output.

use std::io::{self, Write as _};

/// Writes to standard output. A reader that has closed the pipe (`fanout compare | head`) is not an error.
///
/// # Errors
///
/// Returns an error if standard output cannot be written for another reason, such as a full disk.
pub fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
