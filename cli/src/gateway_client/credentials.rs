//! The API key, or another token, that requests carry.
//!
//! It comes from a file or a variable, never from an argument: other users of the machine can read those.

use std::{env, fmt, fs, path::PathBuf};

use tonic::metadata::{Ascii, MetadataValue};

/// The variable with the key itself.
pub const VARIABLE: &str = "FANOUT_API_KEY";

/// What a request says of its caller: the header `authorization`.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials(MetadataValue<Ascii>);

/// A file with credentials, and what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialsFile {
    path: PathBuf,
    credentials: Credentials,
}

// === impl Credentials ===

impl Credentials {
    /// Reads the variable `FANOUT_API_KEY`. Returns `None` if it is not set, or empty.
    ///
    /// # Errors
    ///
    /// Returns an error that does not repeat it if its value cannot be a key or a token.
    pub fn from_env() -> Result<Option<Self>, String> {
        let value = env::var_os(VARIABLE).filter(|value| !value.is_empty());
        let parse = |value: std::ffi::OsString| Self::parse(value.to_str().unwrap_or_default());
        value.map(parse).transpose().map_err(|error| format!("invalid value of {VARIABLE}: {error}"))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let invalid = || "expected an API key as `fanout key new` prints it, or a token".to_owned();
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(invalid());
        }
        let mut value: MetadataValue<Ascii> = format!("Bearer {text}").parse().map_err(|_| invalid())?;
        value.set_sensitive(true);
        Ok(Self(value))
    }

    /// Returns the value of the header.
    pub(crate) fn header(&self) -> MetadataValue<Ascii> {
        self.0.clone()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

// === impl CredentialsFile ===

impl CredentialsFile {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// Returns a message for the command line if it cannot be read, or does not hold a key or a token alone.
    pub fn read(path: &str) -> Result<Self, String> {
        let text = fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))?;
        let credentials = Credentials::parse(&text).map_err(|error| format!("{error}, and nothing else"))?;
        Ok(Self { path: path.into(), credentials })
    }

    /// Returns what it holds.
    pub(crate) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Returns its path.
    pub(crate) fn path(&self) -> &std::path::Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_a_header_that_no_debug_output_shows() {
        let credentials = Credentials::parse(" fo_secret\n").unwrap();
        assert_eq!(credentials.header().to_str().unwrap(), "Bearer fo_secret");
        assert!(!format!("{credentials:?} {:?}", credentials.header()).contains("secret"));
        for wrong in ["", " \n", "two words", "schlüssel", "a\nb"] {
            assert!(Credentials::parse(wrong).unwrap_err().contains("expected an API key"), "{wrong:?}");
        }
    }
}
