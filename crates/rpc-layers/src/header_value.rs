//! How header values are sent.

use http::HeaderValue;

/// Marks a value that no other request or reply will have: it stays out of the tables of HPACK on both sides.
///
/// Without this each value is put into the table of its connection, and pushes out another one: a fifteenth of all
/// instructions of an aggregate, for nothing. HTTP/2 has a form for values that are not to be kept (RFC 7541, section 6.2.2),
/// but h2 sends none but the one for what must never be kept (6.2.3).
pub(crate) fn used_once(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}
