//! What has been measured so far: printed, and written as each scenario ends, so that nothing is lost if a later one fails.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};

use crate::{BoxError, document, scenario::Scenario};

/// What a scenario gave.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// A table as Markdown, and what there is to say of it.
    pub(crate) text: String,
    /// All figures.
    pub(crate) json: Value,
    /// A picture of it, if it has one.
    pub(crate) picture: Option<String>,
}

/// Where it is written.
#[derive(Debug)]
pub(crate) struct Report {
    /// The directory with `performance.md`, `performance.json` and `performance.svg`, if they are to be renewed.
    documents: Option<PathBuf>,
    /// A file for the figures of this run.
    json: Option<PathBuf>,
    figures: Map<String, Value>,
}

// === impl Report ===

impl Report {
    pub(crate) fn new(documents: Option<PathBuf>, json: Option<PathBuf>) -> Self {
        Self { documents, json, figures: Map::new() }
    }

    /// Prints and writes what a scenario gave. In the documents it takes the place of the last figures of this scenario;
    /// those of others stay.
    ///
    /// # Errors
    ///
    /// Returns an error that names a file that cannot be read or written.
    pub(crate) fn add(&mut self, scenario: Scenario, outcome: Outcome) -> Result<(), BoxError> {
        let name = scenario.name();
        println!("{}", outcome.text);
        if let Some(documents) = &self.documents {
            let path = documents.join("performance.md");
            write(&path, &document::replace(&read(&path)?, &name, &outcome.text)?)?;
            let path = documents.join("performance.json");
            write(&path, &merged(&read(&path)?, &name, &outcome.json).map_err(|error| named(&path, &error))?)?;
            if let Some(picture) = &outcome.picture {
                write(&documents.join("performance.svg"), picture)?;
            }
        }
        self.figures.insert(name, outcome.json);
        if let Some(path) = &self.json {
            write(path, &format!("{:#}\n", Value::from(self.figures.clone())))?;
        }
        Ok(())
    }
}

/// Returns the figures of all scenarios with those of one of them renewed, each scenario in a line of its own.
fn merged(figures: &str, name: &str, new: &Value) -> serde_json::Result<String> {
    let mut all: Map<String, Value> = serde_json::from_str(figures)?;
    all.insert(name.to_owned(), new.clone());
    let lines: Vec<_> = all.iter().map(|(name, figures)| format!("{}:{figures}", Value::from(name.as_str()))).collect();
    Ok(format!("{{\n{}\n}}\n", lines.join(",\n")))
}

fn read(path: &Path) -> Result<String, BoxError> {
    Ok(fs::read_to_string(path).map_err(|error| named(path, &error))?)
}

fn write(path: &Path, text: &str) -> Result<(), BoxError> {
    Ok(fs::write(path, text).map_err(|error| named(path, &error))?)
}

fn named(path: &Path, error: &dyn std::fmt::Display) -> io::Error {
    io::Error::other(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_scenarios_stay() {
        let old = r#"{"cost": {"rows": [1]}, "peers": {"rows": [2]}}"#;
        let new = merged(old, "cost", &serde_json::json!({"rows": [3]})).unwrap();
        assert_eq!(new, "{\n\"cost\":{\"rows\":[3]},\n\"peers\":{\"rows\":[2]}\n}\n");
        let new: Value = serde_json::from_str(&merged(&new, "width", &Value::Null).unwrap()).unwrap();
        assert_eq!(new.as_object().unwrap().len(), 3);
        assert!(merged("[]", "cost", &Value::Null).is_err());
    }
}
