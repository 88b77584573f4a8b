//! Reads the inputs: files, directories of them, standard input.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    process::ExitCode,
};

use trace_formats::{DecodeError, Decoded, Limits, decode};

/// The endings of files that are read in a directory, with `.gz` after them or not.
const ENDINGS: [&str; 7] = ["json", "jsonl", "ndjson", "otlp", "pb", "bin", "proto"];
/// The problems that are printed of one input.
const MAX_LINES: usize = 20;

/// All inputs.
pub(super) struct Inputs {
    pub(super) list: Vec<Input>,
}

/// What was read of one file.
pub(super) struct Input {
    /// The file as it was named, or found in a directory.
    pub(super) name: String,
    pub(super) result: Result<Decoded, InputError>,
}

/// Why a file was not read at all.
#[derive(Debug, thiserror::Error)]
pub(super) enum InputError {
    #[error("cannot read {what}: {source}")]
    Read { what: String, source: io::Error },
    #[error("{0}")]
    Decode(DecodeError),
    #[error("no file in it ends with .{}", ENDINGS.join(", ."))]
    EmptyDirectory,
}

/// The worst that happened to an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// A part is not what was expected.
    Data,
    /// It could not be read.
    NoInput,
}

// === impl Failure ===

impl From<Failure> for ExitCode {
    fn from(failure: Failure) -> Self {
        // `EX_DATAERR` and `EX_NOINPUT` of BSD's `sysexits.h`.
        match failure {
            Failure::Data => Self::from(65),
            Failure::NoInput => Self::from(66),
        }
    }
}

// === impl Inputs ===

impl Inputs {
    /// Reads all inputs, one after the other, up to [`Limits::spans`] of them together.
    pub(super) fn read(paths: &[PathBuf]) -> Self {
        let (mut list, mut spans) = (Vec::new(), Limits::default().spans);
        for path in paths {
            for (name, source) in sources(path) {
                let limits = Limits { spans, ..Limits::default() };
                let result = source.and_then(|source| read(&source, &limits));
                spans -= result.as_ref().map_or(0, Decoded::len).min(spans);
                list.push(Input { name, result });
            }
        }
        Self { list }
    }

    /// Returns a line for each problem, with the file in which it is.
    pub(super) fn problem_lines(&self) -> Vec<String> {
        self.list.iter().flat_map(Input::lines).collect()
    }

    /// Returns the worst that happened.
    pub(super) fn failure(&self) -> Option<Failure> {
        let failure = |input: &Input| match &input.result {
            Ok(decoded) => (!decoded.problems.is_empty()).then_some(Failure::Data),
            Err(InputError::Decode(_)) => Some(Failure::Data),
            Err(InputError::Read { .. } | InputError::EmptyDirectory) => Some(Failure::NoInput),
        };
        self.list.iter().filter_map(failure).max()
    }

    /// Names the inputs: the first, and how many there are besides.
    pub(super) fn describe(&self) -> String {
        let first = self.list.first().map_or("", |input| &input.name);
        match self.list.len() {
            0 | 1 => first.to_owned(),
            count => format!("{first} and {} more", count - 1),
        }
    }
}

// === impl Input ===

impl Input {
    /// Returns a line for each problem, with the file in which it is.
    pub(super) fn lines(&self) -> Vec<String> {
        let Self { name, result } = self;
        let decoded = match result {
            Ok(decoded) => decoded,
            Err(error) => return vec![format!("{name}: {error}")],
        };
        let problems = decoded.problems.iter().take(MAX_LINES).map(|problem| format!("{name}: {problem}"));
        let more = decoded.problems.len().saturating_sub(MAX_LINES) + decoded.more_problems;
        let more = (more > 0).then(|| format!("{name}: and {more} more problems"));
        problems.chain(more).collect()
    }
}

/// Where an input is read.
enum Source {
    Stdin,
    File(PathBuf),
}

/// Returns the files that a name stands for, in their order by name.
fn sources(path: &Path) -> Vec<(String, Result<Source, InputError>)> {
    let name = path.display().to_string();
    if name == "-" {
        return vec![("standard input".to_owned(), Ok(Source::Stdin))];
    }
    if !path.is_dir() {
        return vec![(name, Ok(Source::File(path.to_owned())))];
    }
    match files_in(path) {
        Ok(files) if files.is_empty() => vec![(name, Err(InputError::EmptyDirectory))],
        Ok(files) => files.into_iter().map(|file| (file.display().to_string(), Ok(Source::File(file)))).collect(),
        Err(source) => vec![(name, Err(InputError::Read { what: "the directory".to_owned(), source }))],
    }
}

/// Returns the files of a directory and those in it. Links to directories are not followed: they may lead in a circle.
fn files_in(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let (mut files, mut directories) = (Vec::new(), vec![directory.to_owned()]);
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                directories.push(entry.path());
            } else if has_known_ending(&entry.path()) {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}

fn has_known_ending(path: &Path) -> bool {
    let ending = |path: &Path| path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
    let is_known = |ending: Option<String>| ending.is_some_and(|ending| ENDINGS.contains(&&*ending));
    match ending(path).as_deref() {
        Some("gz") => is_known(path.file_stem().and_then(|stem| ending(Path::new(stem)))),
        other => is_known(other.map(str::to_owned)),
    }
}

fn read(source: &Source, limits: &Limits) -> Result<Decoded, InputError> {
    let bytes = match source {
        Source::Stdin => read_up_to(io::stdin().lock(), limits.bytes),
        Source::File(path) => File::open(path).and_then(|file| read_up_to(file, limits.bytes)),
    };
    let bytes = bytes.map_err(|source| InputError::Read { what: "it".to_owned(), source })?;
    decode(&bytes, limits).map_err(InputError::Decode)
}

/// Reads everything, or one byte more than is allowed.
fn read_up_to(from: impl Read, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_endings() {
        for name in ["a.json", "a.JSON", "b.c.jsonl", "a.json.gz", "a.otlp", "a.pb"] {
            assert!(has_known_ending(Path::new(name)), "{name}");
        }
        for name in ["json", "a.txt", "a.gz", "a.json.zip", ".json"] {
            assert!(!has_known_ending(Path::new(name)), "{name}");
        }
    }
}
