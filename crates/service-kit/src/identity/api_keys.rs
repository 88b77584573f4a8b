//! API keys, and the file that has their hashes.
//!
//! The file has a line for each key: its name, and the SHA-256 of the key. `#` begins a comment. Several keys may have
//! one name: a new one is handed out before the old one is revoked.
//!
//! ```text
//! reports sha256:5Aq1Zp3c…
//! ```

use std::{fmt, str::FromStr};

use aws_lc_rs::{digest, rand};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rpc_layers::identity::{Identity, Mechanism};
use subtle::{ConditionallySelectable as _, ConstantTimeEq as _};

/// What every key begins with. Scanners for secrets find keys by it, and a server tells them from tokens.
pub const PREFIX: &str = "fo_";

/// What the hash of a key begins with.
const HASH: &str = "sha256:";

/// The largest number of keys in a file: each request is compared with all of them.
const MAX_KEYS: usize = 1000;

/// The longest name of a key, in bytes.
const MAX_NAME: usize = 64;

/// How much of a hash tells keys of one name apart, in characters.
const FINGERPRINT: usize = 8;

/// A new API key, which exists nowhere else.
pub struct NewKey(String);

/// The name of an API key: 1 to 64 letters, digits, `-`, `_` and `.`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyName(String);

/// What a file knows of one API key.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyEntry {
    name: KeyName,
    hash: [u8; 32],
}

/// The API keys of a file.
#[derive(Debug, Default)]
pub struct ApiKeys(Vec<(Identity, KeyEntry)>);

// === impl NewKey ===

impl NewKey {
    /// Makes a key of 256 random bits.
    ///
    /// # Errors
    ///
    /// Returns an error if the operating system has no random numbers.
    pub fn generate() -> Result<Self, aws_lc_rs::error::Unspecified> {
        let mut bits = [0; 32];
        rand::fill(&mut bits)?;
        Ok(Self(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bits))))
    }

    /// Returns the key itself: a secret.
    pub fn secret(&self) -> &str {
        &self.0
    }

    /// Returns what a file has of the key.
    pub fn entry(&self, name: KeyName) -> KeyEntry {
        KeyEntry { name, hash: sha256(&self.0) }
    }
}

impl fmt::Debug for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewKey(..)")
    }
}

// === impl KeyName ===

impl FromStr for KeyName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(is_allowed) {
            return Ok(Self(text.to_owned()));
        }
        Err(format!("expected a name of 1 to {MAX_NAME} characters: letters, digits, '-', '_' and '.'"))
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl KeyEntry ===

impl KeyEntry {
    /// Reads a line of a file. Returns `None` if it has no key.
    ///
    /// # Errors
    ///
    /// Returns an error that does not repeat the line, which may be a key, if it is not of the form above.
    pub fn parse(line: &str) -> Option<Result<Self, String>> {
        let line = line.split_once('#').map_or(line, |(line, _comment)| line);
        let mut words = line.split_whitespace();
        let name = words.next()?;
        Some(Self::from_words(name, words.next(), words.next()))
    }

    fn from_words(name: &str, hash: Option<&str>, rest: Option<&str>) -> Result<Self, String> {
        let invalid = || format!("expected a name and {HASH} with the hash of a key, as `fanout key new` writes it");
        let name = name.parse()?;
        let hash = hash.and_then(|hash| hash.strip_prefix(HASH)).filter(|_| rest.is_none()).ok_or_else(invalid)?;
        let hash = URL_SAFE_NO_PAD.decode(hash).ok().and_then(|hash| hash.try_into().ok()).ok_or_else(invalid)?;
        Ok(Self { name, hash })
    }

    /// Returns the name of the key.
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    /// Returns the beginning of its hash, which tells it from other keys of the same name.
    pub fn fingerprint(&self) -> String {
        let mut hash = URL_SAFE_NO_PAD.encode(self.hash);
        hash.truncate(FINGERPRINT);
        hash
    }
}

impl fmt::Display for KeyEntry {
    /// Writes the line of a file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {HASH}{}", self.name, URL_SAFE_NO_PAD.encode(self.hash))
    }
}

impl fmt::Debug for KeyEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyEntry({} {})", self.name, self.fingerprint())
    }
}

// === impl ApiKeys ===

impl ApiKeys {
    /// Reads a file's text.
    ///
    /// # Errors
    ///
    /// Returns an error that names the line if one is not of the form above, or there are more than 1,000 keys.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut keys = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let Some(entry) = KeyEntry::parse(line) else { continue };
            let entry = entry.map_err(|error| format!("line {}: {error}", index + 1))?;
            keys.push((Identity::new(Mechanism::ApiKey, entry.name.0.as_str()), entry));
        }
        if keys.len() > MAX_KEYS {
            return Err(format!("there are {} keys; at most {MAX_KEYS} are allowed", keys.len()));
        }
        Ok(Self(keys))
    }

    /// Returns whose key this is. Takes the same time for every key, known or not.
    pub fn identity(&self, key: &str) -> Option<Identity> {
        let hash = sha256(key);
        // One more than the index, so that 0 is none.
        let mut found = 0_u32;
        for (number, (_, entry)) in (1_u32..).zip(&self.0) {
            found.conditional_assign(&number, entry.hash.ct_eq(&hash));
        }
        let index = usize::try_from(found).ok()?.checked_sub(1)?;
        self.0.get(index).map(|(identity, _)| identity.clone())
    }
}

fn sha256(key: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, key.as_bytes()).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new_key(name: &str) -> (NewKey, KeyEntry) {
        let key = NewKey::generate().unwrap();
        let entry = key.entry(name.parse().unwrap());
        (key, entry)
    }

    #[test]
    fn a_key_is_found_by_its_hash_alone() {
        let ((one, of_one), (two, of_two), (unknown, _)) = (new_key("reports"), new_key("web"), new_key("x"));
        let (other, of_other) = new_key("reports");
        let keys = ApiKeys::parse(&format!("# keys\n{of_one}\n\n{of_two} # the site\n{of_other}\n")).unwrap();
        let name = |key: &str| keys.identity(key).map(|identity| identity.to_string());
        assert_eq!(name(one.secret()).as_deref(), Some("key:reports"));
        assert_eq!(name(two.secret()).as_deref(), Some("key:web"));
        assert_eq!(name(other.secret()).as_deref(), Some("key:reports"), "two keys may have one name");
        for wrong in [unknown.secret(), "", &one.secret()[1..], &of_one.to_string()] {
            assert_eq!(name(wrong), None);
        }
        assert_eq!(ApiKeys::default().identity(one.secret()), None);
    }

    #[test]
    fn a_key_has_256_random_bits_and_shows_in_no_debug_output() {
        let (key, entry) = new_key("reports");
        let bits = URL_SAFE_NO_PAD.decode(key.secret().strip_prefix(PREFIX).unwrap()).unwrap();
        assert_eq!(bits.len(), 32);
        assert_ne!(key.secret(), NewKey::generate().unwrap().secret());
        let shown = format!("{key:?} {entry:?} {:?}", ApiKeys::parse(&entry.to_string()).unwrap());
        assert!(!shown.contains(&key.secret()[PREFIX.len()..]), "{shown}");
    }

    #[test]
    fn a_wrong_line_is_named_and_not_repeated() {
        let (key, entry) = new_key("reports");
        let hash = entry.to_string();
        for (line, needed) in [
            (key.secret(), "expected a name and sha256:"),
            (&format!("reports {}", key.secret()), "expected a name and sha256:"),
            (&format!("reports {} x", &hash["reports ".len()..]), "expected a name and sha256:"),
            ("reports sha256:AAAA", "expected a name and sha256:"),
            ("re/ports sha256:AAAA", "expected a name of 1 to 64"),
        ] {
            let error = ApiKeys::parse(&format!("\n{line}\n")).unwrap_err();
            assert!(error.starts_with("line 2: ") && error.contains(needed), "{error}");
            assert!(!error.contains(key.secret()), "{error}");
        }
        assert!("a".repeat(64).parse::<KeyName>().is_ok() && "a".repeat(65).parse::<KeyName>().is_err());
        let many = format!("{hash}\n").repeat(MAX_KEYS + 1);
        assert_eq!(ApiKeys::parse(&many).unwrap_err(), "there are 1001 keys; at most 1000 are allowed");
    }
}
