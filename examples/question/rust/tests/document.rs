//! The snippets of `docs/sequential-or-concurrent.md` are in the programs, line for line.

use std::{fs, path::Path};

const PROGRAMS: [&str; 6] = [
    "node/handler.js",
    "node/pitfalls.js",
    "python/handler.py",
    "python/pitfalls.py",
    "rust/src/main.rs",
    "rust/tests/pitfalls.rs",
];

/// Returns the lines of each code block in one of these languages, without the indentation of the list that it is in.
fn snippets(document: &str) -> Vec<Vec<&str>> {
    let mut snippets = Vec::new();
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        let indent = line.len() - line.trim_start().len();
        if let Some("python" | "js" | "rust") = line.trim_start().strip_prefix("```") {
            let block = lines.by_ref().take_while(|line| line.trim_start() != "```");
            snippets.push(block.map(|line| line.get(indent..).unwrap_or_default()).collect());
        }
    }
    snippets
}

/// Returns whether the program has these lines, one after the other, with any indentation.
fn has(program: &str, snippet: &[&str]) -> bool {
    let lines: Vec<_> = program.lines().collect();
    lines.windows(snippet.len()).any(|found| {
        let indent = found[0].len() - found[0].trim_start().len();
        found.iter().map(|line| line.get(indent..).unwrap_or_default()).eq(snippet.iter().copied())
    })
}

#[test]
fn each_snippet_is_in_a_program() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let document = fs::read_to_string(examples.join("../../docs/sequential-or-concurrent.md")).unwrap();
    let programs = PROGRAMS.map(|program| fs::read_to_string(examples.join(program)).unwrap());
    let snippets = snippets(&document);
    assert!(snippets.len() >= 10, "{snippets:#?}");
    for snippet in snippets {
        assert!(programs.iter().any(|program| has(program, &snippet)), "no program has this: {snippet:#?}");
    }
}
