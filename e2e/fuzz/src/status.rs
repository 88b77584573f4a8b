//! What holds for every status that a caller gets.

use tonic::{Code, Status};

use crate::text::assert_error_within;

/// The most metadata of a reply, in bytes: many clients read no more than 8 KiB.
const MAX_METADATA: usize = 8 * 1024;

/// Asserts that a status has this code, and that every client can read it: its headers have a limit, with the details
/// that describe it.
pub(crate) fn assert_status(status: Status, code: Code) {
    assert_eq!(status.code(), code, "{status:?}");
    assert_error_within(&status.message(), MAX_METADATA);
    let headers = status.into_http::<()>().into_parts().0.headers;
    // HTTP/2 counts 32 bytes for each header besides its name and value.
    let len: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
    assert!(len <= MAX_METADATA, "{len} bytes of metadata");
}
