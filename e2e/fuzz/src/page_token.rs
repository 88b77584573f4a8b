//! Page tokens: a token is what the service has made of an id, and nothing else.

use user_service::page_token::{decode, encode};

use crate::text::{assert_error, text};

/// Takes the input as a token, and as an id.
pub fn run(input: &[u8]) {
    let Some(text) = text(input) else { return };
    match decode(text) {
        Ok(Some(id)) => {
            assert_eq!(fanout_proto::user_id::check(&id), Ok(()));
            assert_eq!(encode(&id), text, "an id has one token");
        }
        Ok(None) => assert!(text.is_empty()),
        Err(error) => assert_error(&error),
    }
    let token = encode(text);
    if fanout_proto::user_id::check(text).is_ok() {
        assert_eq!(decode(&token), Ok(Some(text.to_owned())));
    } else {
        // With the right checksum: whoever has read the source can make one.
        assert_error(&decode(&token).unwrap_err());
    }
}
