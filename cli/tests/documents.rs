//! The documents name only what exists: every path, every link and every anchor; and no table is cut in two.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Describes changes to files that a reader is about to make.
const WALK: &str = "docs/adding-a-backend.md";

/// Directories of generated files, besides hidden ones.
const GENERATED: [&str; 3] = ["target", "node_modules", "venv"];

/// Hidden directories that belong to the repository.
const HIDDEN: [&str; 2] = [".ci", ".github"];

struct Repository {
    root: PathBuf,
    /// All files, relative to the root.
    files: BTreeSet<PathBuf>,
}

/// A line of a document outside of its code blocks.
struct Line<'a> {
    /// The document and the number of the line.
    place: String,
    text: &'a str,
}

// === impl Repository ===

impl Repository {
    fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned();
        let mut files = BTreeSet::new();
        let mut directories = vec![root.clone()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap();
                if !path.is_dir() {
                    files.insert(path.strip_prefix(&root).unwrap().to_owned());
                } else if !GENERATED.contains(&name) && (!name.starts_with('.') || HIDDEN.contains(&name)) {
                    directories.push(path);
                }
            }
        }
        Self { root, files }
    }

    /// Returns the documents, each with its text.
    fn documents(&self) -> Vec<(&Path, String)> {
        let is_document = |file: &&PathBuf| file.extension().is_some_and(|extension| extension == "md");
        let read = |file: &PathBuf| fs::read_to_string(self.root.join(file)).unwrap();
        self.files.iter().filter(is_document).map(|file| (file.as_path(), read(file))).collect()
    }

    /// Returns whether this is the path of a file or directory, from the root or from a directory above or beside the
    /// document; a file alone may be anywhere.
    fn has(&self, path: &str, document: &Path) -> bool {
        let path = path.trim_end_matches('/');
        let is_there = |base: &Path| self.root.join(base).join(path).exists();
        document.ancestors().skip(1).any(is_there) || self.files.iter().any(|file| file.ends_with(path))
    }
}

/// Returns the lines of a document outside of its code blocks.
fn prose<'a>(file: &Path, text: &'a str) -> Vec<Line<'a>> {
    let mut is_code = false;
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        } else if !is_code {
            lines.push(Line { place: format!("{}:{}", file.display(), index + 1), text: line });
        }
    }
    lines
}

/// Returns the code spans of a line.
fn code_spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// Returns the targets of the links of a line.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
}

/// Returns the anchor of a heading as GitHub makes it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = kept.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
    kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
}

/// Returns whether a code span is meant as a path in the repository.
fn is_path(span: &str) -> bool {
    const ENDINGS: [&str; 12] =
        ["rs", "toml", "md", "sh", "py", "proto", "yml", "yaml", "svg", "sql", "Dockerfile", "json"];
    let is_plain = |text: &str| text.chars().all(|letter| letter.is_alphanumeric() || "./-_".contains(letter));
    let top =
        ["crates/", "gateway/", "user-service/", "country-service/", "cli/", "proto/", "deploy/", "docs/", "e2e/"];
    let is_below = top.iter().chain(&[".ci/", ".github/"]).any(|top| span.starts_with(top));
    let ending = span.rsplit_once('.').filter(|(name, _)| !name.is_empty()).map(|(_, ending)| ending);
    is_plain(span) && (is_below || ending.is_some_and(|ending| ENDINGS.contains(&ending)))
}

#[test]
fn every_path_exists() {
    let repository = Repository::read();
    let (mut checked, mut missing) = (0, Vec::new());
    for (file, text) in repository.documents().iter().filter(|(file, _)| *file != Path::new(WALK)) {
        for Line { place, text } in prose(file, text) {
            for span in code_spans(text).filter(|span| is_path(span)) {
                checked += 1;
                if !repository.has(span, file) {
                    missing.push(format!("{place}: {span}"));
                }
            }
        }
    }
    assert!(missing.is_empty(), "paths that do not exist:\n{}", missing.join("\n"));
    assert!(checked > 50, "{checked} paths were found");
}

#[test]
fn every_link_leads_somewhere() {
    let repository = Repository::read();
    let documents = repository.documents();
    let (mut checked, mut broken) = (0, Vec::new());
    for (file, text) in &documents {
        for Line { place, text } in prose(file, text) {
            for target in links(text).filter(|target| !target.contains("://")) {
                checked += 1;
                let (path, heading) = target.split_once('#').unwrap_or((target, ""));
                let linked = match path {
                    "" => repository.root.join(file),
                    path => repository.root.join(file.parent().unwrap()).join(path),
                };
                let has_heading = || {
                    let text = fs::read_to_string(&linked).unwrap_or_default();
                    prose(file, &text).iter().any(|line| line.text.starts_with('#') && anchor(line.text) == heading)
                };
                if !linked.exists() || (!heading.is_empty() && !has_heading()) {
                    broken.push(format!("{place}: {target}"));
                }
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
    assert!(checked > 20, "{checked} links were found");
}

#[test]
fn every_table_has_a_head() {
    for (file, text) in &Repository::read().documents() {
        let lines = prose(file, text);
        for (index, Line { place, text }) in lines.iter().enumerate() {
            let is_row = |index: usize| lines.get(index).is_some_and(|line| line.text.starts_with('|'));
            let starts_table = text.starts_with('|') && (index == 0 || !is_row(index - 1));
            let has_rule = || lines.get(index + 1).is_some_and(|line| line.text.starts_with("|---"));
            assert!(!starts_table || has_rule(), "{place}: a row without a table");
        }
    }
}
