//! Prints results on standard output.

use std::io::{self, Write as _};

/// Writes to standard output, and is content where nobody reads on (`fanout compare | head`).
///
/// # Errors
///
/// Where standard output cannot be written for another reason, such as a full disk.
pub fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
