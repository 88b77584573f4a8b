//! Where a list goes on, as an opaque text.
//!
//! A page goes on after an id and not after a number of users, so that nobody is left
//! out or seen twice while users are added. The token is version, id and check sum in
//! base64url. The sum finds what was cut, changed or made elsewhere; it is no secret:
//! a caller who makes a token gets nothing that a list does not show.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::validate::shown;

/// Also part of the sum: another encoding is another version.
const VERSION: u8 = 1;
/// The bytes of the check sum.
const SUM: usize = 8;
/// The longest token: an id of 64 bytes, in base64.
const MAX_LEN: usize = (1 + fanout_proto::user_id::MAX_LEN + SUM).div_ceil(3) * 4;

/// The token of the page after this id.
pub fn encode(last_id: &str) -> String {
    let mut bytes = Vec::with_capacity(1 + last_id.len() + SUM);
    bytes.push(VERSION);
    bytes.extend_from_slice(last_id.as_bytes());
    bytes.extend_from_slice(&sum(&bytes));
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The id after which the token's page starts; none where the token is empty.
///
/// # Errors
///
/// What is wrong with the token, in words.
pub fn decode(token: &str) -> Result<Option<String>, String> {
    if token.is_empty() {
        return Ok(None);
    }
    match last_id(token) {
        Some(id) => Ok(Some(id)),
        None => Err(format!(
            "is {}: must be the next_page_token of an earlier answer of this service, or empty for the first page",
            shown(token)
        )),
    }
}

fn last_id(token: &str) -> Option<String> {
    if token.len() > MAX_LEN {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (content, check) = bytes.split_last_chunk::<SUM>()?;
    let (&version, id) = content.split_first()?;
    if version != VERSION || *check != sum(content) {
        return None;
    }
    let id = std::str::from_utf8(id).ok()?;
    fanout_proto::user_id::check(id).ok()?;
    Some(id.to_owned())
}

/// FNV-1a with a start of our own, so that no other service's token passes by its form.
fn sum(content: &[u8]) -> [u8; SUM] {
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
        // Two replicas of different builds may answer two pages of one list.
        assert_eq!(encode("ada"), "AWFkYYFTFaSD4OWt");
    }

    #[test]
    fn a_foreign_token_is_refused_and_shown_in_part() {
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
        fn each_id_comes_back(id in "[a-z0-9][a-z0-9_-]{0,63}") {
            let token = encode(&id);
            prop_assert!(token.len() <= MAX_LEN);
            prop_assert_eq!(decode(&token), Ok(Some(id)));
        }

        #[test]
        fn no_text_panics(token in any::<String>()) {
            let _ = decode(&token);
        }

        #[test]
        fn a_changed_token_is_refused(id in "[a-z0-9][a-z0-9_-]{0,63}", place in any::<prop::sample::Index>(), to in "[A-Za-z0-9_-]") {
            let mut token = encode(&id);
            let place = place.index(token.len());
            prop_assume!(token[place..=place] != to);
            token.replace_range(place..=place, &to);
            prop_assert!(decode(&token).is_err());
        }
    }
}
