//! `fanout key`: the API keys of a gateway.
//!
//! # Layout
//!
//! * `file`: the file that has the hashes of the keys.

mod file;

use std::{io, path::PathBuf};

use clap::{Args, Subcommand};
use service_kit::identity::api_keys::{KeyName, NewKey};

use self::file::KeyFile;
pub use self::file::KeyFileError;
use crate::{completion::Completion, terminal::stdout};

/// The flags of `fanout key`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  fanout key new reports --file keys.txt > reports.key
  fanout gateway --api-keys keys.txt
  fanout call profile ada --api-key-file reports.key
  fanout key list --file keys.txt
  fanout key revoke reports --file keys.txt")]
pub struct KeyArgs {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum KeyCommand {
    /// Makes a key, prints it, and adds its hash to the file: nobody can see it again
    New {
        /// The name of who gets it: letters, digits, '-', '_' and '.'; several keys may have one name
        name: KeyName,
        #[command(flatten)]
        file: FileArgs,
    },
    /// Lists the names of the keys, and the beginnings of their hashes
    List {
        #[command(flatten)]
        file: FileArgs,
    },
    /// Removes keys: a gateway that runs refuses them a second later
    Revoke {
        /// The name of the keys, or the beginning of one's hash as `list` shows it
        // A hash in base64 may begin with '-'.
        #[arg(allow_hyphen_values = true)]
        key: String,
        #[command(flatten)]
        file: FileArgs,
    },
}

#[derive(Args, Clone, Debug)]
struct FileArgs {
    /// The file that has the hashes of the keys, as the gateway's --api-keys names it
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
}

/// Why `fanout key` could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// There is no such key.
    #[error("no key in {file} has the name or the hash {key:?}: `fanout key list` shows those that there are")]
    NoSuchKey {
        /// The file.
        file: String,
        /// What was asked for.
        key: String,
    },
    /// The operating system has no random numbers.
    #[error("the operating system has no random numbers")]
    Random,
    /// Standard output cannot be written.
    #[error("cannot write the result: {0}")]
    Output(#[from] io::Error),
}

/// Runs the command.
///
/// # Errors
///
/// Returns an error if the file cannot be read or written, is not a file of keys, or has no such key.
pub fn key(args: &KeyArgs) -> Result<Completion, KeyError> {
    match &args.command {
        KeyCommand::New { name, file } => {
            let key = NewKey::generate().map_err(|_| KeyError::Random)?;
            KeyFile::lock(&file.file)?.add(&key.entry(name.clone()))?;
            // Alone, so that it can be sent to a file.
            stdout::print(&format!("{}\n", key.secret()))?;
            eprintln!("the key of {name}, which is not shown again; {} has its hash", file.file.display());
        }
        KeyCommand::List { file } => {
            let entries = KeyFile::read(&file.file)?;
            let lines = entries.iter().map(|entry| format!("{}  {}\n", entry.fingerprint(), entry.name()));
            stdout::print(&lines.collect::<String>())?;
        }
        KeyCommand::Revoke { key, file } => {
            let removed = KeyFile::lock(&file.file)?.remove(key)?;
            if removed == 0 {
                return Err(KeyError::NoSuchKey { file: file.file.display().to_string(), key: key.clone() });
            }
            eprintln!("revoked: {removed}");
        }
    }
    Ok(Completion::Success)
}

// === impl KeyError ===

impl KeyError {
    /// Returns the exit code, from BSD's `sysexits.h`.
    pub fn exit_code(&self) -> std::process::ExitCode {
        std::process::ExitCode::from(match self {
            Self::File(_) | Self::NoSuchKey { .. } => 64,
            Self::Random => 71,
            Self::Output(_) => 74,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Flags {
        #[command(flatten)]
        args: KeyArgs,
    }

    #[test]
    fn a_hash_may_begin_with_a_hyphen() {
        for hash in ["-Ab3-_9x", "--b3-_9x", "-hb3-_9x", "Ab3-_9xy"] {
            for words in [["x", "revoke", hash, "--file", "keys"], ["x", "revoke", "--file", "keys", hash]] {
                let flags = Flags::try_parse_from(words).unwrap();
                let KeyCommand::Revoke { key, file } = flags.args.command else { panic!("another command") };
                assert_eq!((key.as_str(), file.file.to_str()), (hash, Some("keys")), "{words:?}");
            }
        }
    }
}
