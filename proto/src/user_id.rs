//! The form of a user's id.
//!
//! It is part of the contract. The gateway checks it before it calls a backend; the user service, which others may call
//! too, checks it again.

/// The longest id, in characters.
pub const MAX_LEN: usize = 64;

/// Checks the form of an id.
///
/// ```
/// use fanout_proto::user_id;
///
/// assert!(user_id::check("ada").is_ok());
/// assert!(user_id::check("Ada").unwrap_err().contains("lower-case"));
/// ```
///
/// # Errors
///
/// Returns a message that says what is wrong and what is allowed if the id is empty, is longer than [`MAX_LEN`], contains
/// a character other than lower-case letters, digits, `-` and `_`, or starts with `-` or `_`.
pub fn check(id: &str) -> Result<(), String> {
    const FORM: &str =
        "expected 1 to 64 characters: lower-case letters, digits, '-' and '_', the first a letter or a digit";
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if id.is_empty() {
        return Err(format!("is empty: {FORM}"));
    }
    let len = id.chars().count();
    if len > MAX_LEN {
        return Err(format!("has {len} characters: {FORM}"));
    }
    if let Some(wrong) = id.chars().find(|c| !allowed(*c)) {
        return Err(format!("holds {wrong:?} in {id:?}: {FORM}"));
    }
    if id.starts_with(['-', '_']) {
        return Err(format!("starts with {:?} in {id:?}: {FORM}", &id[..1]));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_the_right_form_pass() {
        for id in ["a", "ada", "0", "grace-hopper_1906", &"x".repeat(64)] {
            assert_eq!(check(id), Ok(()), "{id}");
        }
    }

    #[test]
    fn the_message_names_what_is_wrong() {
        for (id, wrong) in [
            ("", "is empty"),
            (&"x".repeat(65) as &str, "has 65 characters"),
            ("Ada", "holds 'A' in \"Ada\""),
            ("ada lovelace", "holds ' '"),
            ("ada\0", "holds '\\0'"),
            ("é", "holds 'é'"),
            ("-ada", "starts with \"-\""),
        ] {
            let message = check(id).unwrap_err();
            assert!(message.contains(wrong) && message.contains("expected 1 to 64"), "{id:?}: {message}");
        }
    }
}
