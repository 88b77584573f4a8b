//! Checks of the fields of requests.
//!
//! An error says what is wrong, what was given, and what is allowed. It repeats a caller's text only in part: a text of
//! megabytes must not come back in the headers of the reply.

use std::fmt;

use service_kit::domain_error::excerpt;

/// The maximum length of a display name, in characters.
const MAX_DISPLAY_NAME: usize = 200;
/// The maximum length of an email address, in bytes: that of a mail server (RFC 5321, 4.5.3.1.3).
const MAX_EMAIL: usize = 254;
/// The longest description of an id that is repeated in full, in bytes.
const MAX_DESCRIPTION: usize = 400;

/// An invalid field of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The field's name in the request.
    pub field: &'static str,
    /// What is wrong, what was given and what is allowed.
    pub description: String,
}

/// All invalid fields of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Violations(Vec<Violation>);

// === impl Violations ===

impl Violations {
    /// Returns the violation of one field.
    pub fn of(field: &'static str, description: impl Into<String>) -> Self {
        Self(vec![Violation { field, description: description.into() }])
    }

    /// Returns the value if a check has passed; otherwise adds a violation.
    pub fn check<T>(&mut self, field: &'static str, result: Result<T, String>) -> Option<T> {
        result.map_err(|description| self.0.push(Violation { field, description })).ok()
    }

    /// Ends the checks of a request.
    ///
    /// # Errors
    ///
    /// Returns the violations if there are any.
    pub fn finish(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }

    /// Iterates over the violations.
    pub fn iter(&self) -> impl Iterator<Item = &Violation> {
        self.0.iter()
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Violation { field, description }) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{field} {description}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Violations {}

pub(crate) fn user_id(id: &str) -> Result<(), String> {
    fanout_proto::user_id::check(id).map_err(|wrong| {
        // The check repeats an id only if it has at most 64 characters, but escaped they may be many more.
        if wrong.len() <= MAX_DESCRIPTION { wrong } else { format!("is {}", excerpt(id)) }
    })
}

pub(crate) fn display_name(name: &str) -> Result<(), String> {
    const FORM: &str = "1 to 200 characters, none of them a control character";
    let len = name.chars().count();
    if !(1..=MAX_DISPLAY_NAME).contains(&len) {
        return Err(format!("has {len} characters: must have {FORM}"));
    }
    match name.chars().find(|c| c.is_control()) {
        Some(control) => Err(format!("holds {control:?} in {}: must have {FORM}", excerpt(name))),
        None => Ok(()),
    }
}

/// Rejects what cannot be an email address. Whether mail arrives is not checked.
pub(crate) fn email(email: &str) -> Result<(), String> {
    const FORM: &str =
        "empty, or at most 254 bytes with one '@' between two parts, without spaces and control characters";
    if email.len() > MAX_EMAIL {
        return Err(format!("has {} bytes: must be {FORM}", email.len()));
    }
    let blank = |c: char| c.is_control() || c.is_whitespace();
    let well_formed = match email.split_once('@') {
        Some((local, domain)) => !local.is_empty() && !domain.is_empty() && !domain.contains('@'),
        None => email.is_empty(),
    };
    if well_formed && !email.contains(blank) { Ok(()) } else { Err(format!("is {}: must be {FORM}", excerpt(email))) }
}

pub(crate) fn country_code(code: &str) -> Result<(), String> {
    match code.as_bytes() {
        [b'A'..=b'Z', b'A'..=b'Z'] => Ok(()),
        _ => Err(format!("is {}: must be two letters from A to Z in upper case, such as \"GB\"", excerpt(code))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_display_name_is_counted_in_characters() {
        for name in ["A", "Ada Lovelace", "Çağrı", "李", &"é".repeat(200)] {
            assert_eq!(display_name(name), Ok(()), "{name}");
        }
        for (name, wrong) in
            [("", "has 0 characters"), (&*"x".repeat(201), "has 201 characters"), ("Ada\0", "'\\0'"), ("A\nB", "'\\n'")]
        {
            assert!(display_name(name).unwrap_err().contains(wrong), "{name:?}");
        }
    }

    #[test]
    fn an_address_has_two_parts_around_one_at() {
        let longest = format!("{}@example.org", "x".repeat(242));
        for address in ["", "ada@example.org", "a@b", "ada+x@bücher.example", &longest] {
            assert_eq!(email(address), Ok(()), "{address}");
        }
        let longer = format!("x{longest}");
        for address in ["ada", "@", "ada@", "@example.org", "a@b@c", "a b@c", "a@b\0", "a@b\n", &longer] {
            assert!(email(address).unwrap_err().contains("254 bytes"), "{address}");
        }
    }

    #[test]
    fn a_country_code_is_two_upper_case_letters() {
        assert_eq!(country_code("GB"), Ok(()));
        for code in ["", "G", "gb", "Gb", "GBR", "G1", "ÄÖ", "é"] {
            assert!(country_code(code).unwrap_err().contains("upper case"), "{code}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_or_is_repeated_at_length(text in any::<String>(), times in 1_usize..2000) {
            let text = text.repeat(times);
            for check in [user_id, display_name, email, country_code] {
                if let Err(description) = check(&text) {
                    prop_assert!(description.len() < 1200, "{} bytes", description.len());
                }
            }
        }
    }
}
