//! Page tokens: the position of a page in a list, as an opaque text.
//!
//! A page begins after an id, not after a number of users, so that no user is missing or listed twice while users are
//! added. A token is a version, an id and a checksum in base64url. The checksum detects tokens that were changed or made
//! elsewhere. It is not a secret: a forged token shows nothing that the list does not show.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use service_kit::domain_error::excerpt;

/// The version of the encoding. It is part of the checksum too.
const VERSION: u8 = 1;
/// The length of the checksum, in bytes.
const CHECKSUM_LEN: usize = 8;
/// The maximum length of a token: that of an id of 64 bytes, in base64.
const MAX_LEN: usize = (1 + fanout_proto::user_id::MAX_LEN + CHECKSUM_LEN).div_ceil(3) * 4;

/// Returns the token of the page after this id.
pub fn encode(last_id: &str) -> String {
    let mut bytes = Vec::with_capacity(1 + last_id.len() + CHECKSUM_LEN);
    bytes.push(VERSION);
    bytes.extend_from_slice(last_id.as_bytes());
    bytes.extend_from_slice(&checksum(&bytes));
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Returns the id after which the token's page begins; `None` if the token is empty.
///
/// # Errors
///
/// Returns a message if this service has not made the token.
pub fn decode(token: &str) -> Result<Option<String>, String> {
    if token.is_empty() {
        return Ok(None);
    }
    match last_id(token) {
        Some(id) => Ok(Some(id)),
        None => Err(format!(
            "is {}: must be the next_page_token of an earlier reply of this service, or empty for the first page",
            excerpt(token)
        )),
    }
}

fn last_id(token: &str) -> Option<String> {
    if token.len() > MAX_LEN {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (content, check) = bytes.split_last_chunk::<CHECKSUM_LEN>()?;
    let (&version, id) = content.split_first()?;
    if version != VERSION || *check != checksum(content) {
        return None;
    }
    let id = std::str::from_utf8(id).ok()?;
    fanout_proto::user_id::check(id).ok()?;
    Some(id.to_owned())
}

/// Returns an FNV-1a hash. It begins with the name of the method, so that tokens of other services do not match.
fn checksum(content: &[u8]) -> [u8; CHECKSUM_LEN] {
    const PRIME: u64 = 0x0100_0000_01b3;
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    let bytes = b"fanout.user.v1.ListUsers".iter().chain(content);
    bytes.fold(OFFSET, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME)).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_empty_token_is_the_first_page() {
        assert_eq!(decode(""), Ok(None));
    }

    #[test]
    fn a_token_is_the_same_in_every_build() {
        // Replicas of different builds may serve two pages of one list.
        assert_eq!(encode("ada"), "AWFkYYFTFaSD4OWt");
    }

    #[test]
    fn an_invalid_token_is_rejected_and_repeated_in_part() {
        let long = "A".repeat(1_000_000);
        for token in ["ada", "AWFkYQ", "AWFkYYFTFaSD4OWt=", "é", "====", " ", &long] {
            let error = decode(token).unwrap_err();
            assert!(error.contains("next_page_token") && error.len() < 300, "{error}");
        }
        assert!(decode(&encode("Not-an-Id")).is_err());
        assert!(decode(&encode("")).is_err());
    }

    proptest! {
        #[test]
        fn each_id_is_decoded_again(id in "[a-z0-9][a-z0-9_-]{0,63}") {
            let token = encode(&id);
            prop_assert!(token.len() <= MAX_LEN);
            prop_assert_eq!(decode(&token), Ok(Some(id)));
        }

        #[test]
        fn no_text_panics(token in any::<String>()) {
            let _ = decode(&token);
        }

        #[test]
        fn a_changed_token_is_rejected(id in "[a-z0-9][a-z0-9_-]{0,63}", index in any::<prop::sample::Index>(), to in "[A-Za-z0-9_-]") {
            let mut token = encode(&id);
            let index = index.index(token.len());
            prop_assume!(token[index..=index] != to);
            token.replace_range(index..=index, &to);
            prop_assert!(decode(&token).is_err());
        }
    }
}
