//! `docs/settings.md` names every flag of every command, with its variable and its default, and no others.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

use std::{collections::BTreeSet, fs, process::Command};

use fanout_cli::services::{Kind, SERVICES, Service};

/// A flag as `--help` shows it.
#[derive(Debug, Default)]
struct Flag {
    name: String,
    variable: Option<String>,
    default: Option<String>,
}

/// A row of a table of the document.
#[derive(Debug)]
struct Row {
    section: String,
    /// Such as `--deadline`, or `--NAME-service` for one of each backend.
    flag: String,
    variable: String,
    default: String,
    meaning: String,
}

/// Returns the flags of `fanout COMMAND`, from its help.
fn flags(command: &str) -> Vec<Flag> {
    let output = Command::new(env!("CARGO_BIN_EXE_fanout")).args([command, "--help"]).env_clear().output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let mut flags = Vec::new();
    // Variables and defaults are a paragraph of their own; a default in brackets may end a description too.
    let mut is_paragraph = false;
    for line in help.lines().map(str::trim) {
        let value = |start: &str| line.strip_prefix(start)?.strip_suffix(']').map(str::to_owned);
        if line.starts_with("--") {
            let name = line.split_whitespace().next().unwrap().to_owned();
            flags.push(Flag { name, ..Flag::default() });
        } else if let (true, Some(flag)) = (is_paragraph, flags.last_mut()) {
            flag.variable = value("[env: ").map(|name| name.trim_end_matches('=').to_owned()).or(flag.variable.take());
            flag.default = value("[default: ").or(flag.default.take());
        }
        is_paragraph = line.is_empty() || (is_paragraph && line.starts_with('['));
    }
    assert!(!flags.is_empty(), "{command}: {help}");
    flags
}

/// Returns the rows of the document that describe a flag.
fn rows() -> Vec<Row> {
    let document = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/settings.md")).unwrap();
    let (mut section, mut columns, mut rows) = (String::new(), Vec::new(), Vec::new());
    for line in document.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            heading.clone_into(&mut section);
        }
        let Some(cells) = line.strip_prefix('|').and_then(|line| line.strip_suffix('|')) else { continue };
        let cells: Vec<_> = cells.split('|').map(str::trim).collect();
        if cells[0] == "flag" {
            columns = cells;
        } else if let Some(flag) = cells[0].strip_prefix("`--") {
            let cell = |name| columns.iter().position(|column| *column == name).map_or("", |column| cells[column]);
            rows.push(Row {
                section: section.clone(),
                flag: format!("--{}", flag.trim_end_matches('`').split(' ').next().unwrap()),
                variable: cell("variable").replace('`', ""),
                default: cell("default").to_owned(),
                meaning: cell("meaning").to_owned(),
            });
        }
    }
    rows
}

/// Returns the sections that describe the flags of this command.
fn sections(command: &str) -> Vec<String> {
    let Some(service) = SERVICES.iter().find(|service| service.name == command) else {
        let own = format!("`fanout {command}`");
        let shared = ["`fanout compare`, `fanout load` and `fanout call`", "`fanout compare` and `fanout load`"];
        let shared = shared.into_iter().filter(|section| section.contains(&own)).map(str::to_owned);
        return shared.chain([own.clone()]).collect();
    };
    let own = service.name.replace('-', " ");
    let own = own[..1].to_uppercase() + &own[1..];
    let mut sections = vec!["Every service".to_owned(), own];
    if service.kind == Kind::Backend {
        sections.push("Every backend".to_owned());
    }
    sections
}

// === impl Row ===

impl Row {
    /// Returns what stands for `NAME` if this row describes the flag.
    fn name_in<'a>(&self, flag: &'a Flag) -> Option<&'a str> {
        match self.flag.split_once("NAME") {
            Some((before, after)) => {
                let name = flag.name.strip_prefix(before)?.strip_suffix(after)?;
                SERVICES.iter().any(|service| service.short_name() == name).then_some(name)
            }
            None => (self.flag == flag.name).then_some(""),
        }
    }

    #[track_caller]
    fn check(&self, flag: &Flag, name: &str, command: &str) {
        let what = format!("`fanout {command} {}` in docs/settings.md, section {:?}", flag.name, self.section);
        match &flag.variable {
            Some(variable) if self.variable.is_empty() => {
                assert!(self.meaning.contains(variable), "{what}: {variable}");
            }
            variable => {
                let upper = |text: &str| text.to_uppercase().replace('-', "_");
                let expected = self.variable.replace('…', &upper(command)).replace("NAME", &upper(name));
                assert_eq!(variable.as_deref().unwrap_or_default(), expected, "{what}: the variable");
            }
        }
        let documented = self.default.strip_prefix('`').and_then(|default| default.strip_suffix('`'));
        match (&flag.default, documented) {
            (Some(default), Some(documented)) => {
                assert!(is_default(documented, default), "{what}: the default is {default}, not {documented}");
            }
            (default, documented) => assert_eq!(default.as_deref(), documented, "{what}: the default"),
        }
    }
}

/// Returns whether the document's default is that of the help. `PORT` stands for the port of a service.
fn is_default(documented: &str, default: &str) -> bool {
    let is_port = |text: &str| SERVICES.iter().any(|service: &Service| service.port.to_string() == text);
    match documented.strip_suffix("PORT") {
        Some(before) => default.strip_prefix(before).is_some_and(is_port),
        None => documented.replace(',', " ") == default.replace(',', " "),
    }
}

#[test]
fn every_flag_is_described_with_its_variable_and_default() {
    let rows = rows();
    let mut described = BTreeSet::new();
    let commands = ["up", "compare", "call", "load", "certs", "view", "analyze"]
        .into_iter()
        .chain(SERVICES.iter().map(|service| service.name));
    for command in commands {
        let sections = sections(command);
        for flag in flags(command).iter().filter(|flag| flag.name != "--help" && flag.name != "--version") {
            let found = rows.iter().enumerate().find_map(|(index, row)| {
                let name = sections.contains(&row.section).then(|| row.name_in(flag)).flatten()?;
                Some((index, row, name))
            });
            let Some((index, row, name)) = found else {
                panic!("`fanout {command} {}` is missing in docs/settings.md, sections {sections:?}", flag.name)
            };
            row.check(flag, name, command);
            described.insert(index);
        }
    }
    for (index, Row { section, flag, .. }) in rows.iter().enumerate() {
        assert!(described.contains(&index), "docs/settings.md, section {section:?}: no command has {flag}");
    }
}
