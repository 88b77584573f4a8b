//! What an aggregate costs, counted: instructions and allocations. They hardly differ from one run to the next, so a change
//! of a few percent shows. On another processor they do differ a little: libraries choose their code by what it can do.
//!
//! The gateway runs under valgrind twice, with different numbers of requests by one caller; the difference is what the
//! requests cost, without the start.

use std::{fs, path::Path, process::Command};

use serde::{Deserialize, Serialize};

use crate::{
    BoxError,
    client::Client,
    process::Process,
    subject::{EXPORTED, FANOUT, SAMPLED, Setup, Subject, free_address},
};

const FEW: u64 = 100;
const MANY: u64 = 500;

/// How much more than the last landed figures a change may cost, in percent.
const MARGIN: f64 = 3.0;

/// What an aggregate costs.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Cost {
    pub(crate) instructions: f64,
    pub(crate) allocations: f64,
}

/// What an aggregate of a subject costs.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) subject: &'static str,
    #[serde(flatten)]
    pub(crate) cost: Cost,
}

/// A tool of valgrind.
struct Tool {
    name: &'static str,
    /// How the line begins that has the total, after the process's number.
    line: &'static str,
    /// Which word of that line it is, from the end.
    word: usize,
}

/// `==1== Collected : 42623210`
const INSTRUCTIONS: Tool = Tool { name: "callgrind", line: "Collected", word: 0 };
/// `==1== Total:     6,983,039 bytes in 29,542 blocks`
const ALLOCATIONS: Tool = Tool { name: "dhat", line: "Total:", word: 1 };

/// Counts what the gateway costs, and with `exported` also what it costs with traces. The first row is without.
///
/// # Errors
///
/// Returns an error if valgrind is not there, or if a request has no answer.
pub(crate) async fn measure(setup: &Setup, exported: bool) -> Result<Vec<Row>, BoxError> {
    let mut rows = Vec::new();
    for subject in if exported { &[FANOUT, SAMPLED, EXPORTED][..] } else { &[FANOUT] } {
        rows.push(Row { subject: subject.name, cost: measure_one(subject, setup).await? });
    }
    Ok(rows)
}

async fn measure_one(subject: &Subject, setup: &Setup) -> Result<Cost, BoxError> {
    let mut totals = Vec::new();
    for tool in [INSTRUCTIONS, ALLOCATIONS] {
        let total = async |requests| {
            eprintln!("cost: {}, {} of {requests} requests", subject.name, tool.name);
            total(subject, setup, &tool, requests).await
        };
        #[expect(clippy::cast_precision_loss, reason = "exact below 2^53")]
        totals.push((total(MANY).await? - total(FEW).await?) as f64 / (MANY - FEW) as f64);
    }
    Ok(Cost { instructions: totals[0].round(), allocations: (totals[1] * 10.0).round() / 10.0 })
}

/// Runs the gateway under a tool for so many requests. Returns what the tool counted in all.
async fn total(subject: &Subject, setup: &Setup, tool: &Tool, requests: u64) -> Result<u64, BoxError> {
    let address = free_address()?;
    let (out, log) = (setup.directory.join(tool.name), setup.log(tool.name));
    let gateway = (subject.command)(setup, &address)?;
    let request = &(subject.request)(setup.lengths, 2);
    let mut command = Command::new("valgrind");
    command.arg(format!("--tool={}", tool.name)).arg(format!("--{}-out-file={}", tool.name, out.display()));
    command.arg(gateway.get_program()).args(gateway.get_args());
    command.envs(gateway.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let process = Process::start(command, &address, &log).await?;
    let mut client = Client::connect(&address, request).await?;
    // One call, however long it takes: asking again and again would be counted, and no two runs ask equally often.
    client.until_serving(&address).await?;
    for _ in 0..requests {
        client.call(request, &address).await?;
    }
    drop(client);
    process.stop()?;
    let text = fs::read_to_string(&log)?;
    total_of(tool, &text).ok_or_else(|| format!("{} says no total (log: {})", tool.name, log.display()).into())
}

fn total_of(tool: &Tool, log: &str) -> Option<u64> {
    let words = |line: &'_ str| line.split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>();
    let line = log.lines().map(words).find(|words| words.first().is_some_and(|word| word == tool.line))?;
    line.iter().rev().nth(tool.word)?.replace(',', "").parse().ok()
}

/// Compares with the last landed figures.
///
/// # Errors
///
/// Returns an error that says what to do if an aggregate costs more than a few percent more, or if the file cannot be read.
pub(crate) fn check(cost: Cost, landed: &Path) -> Result<(), BoxError> {
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", landed.display());
    let text = fs::read_to_string(landed).map_err(|error| named(&error))?;
    let last: Cost = serde_json::from_str(&text).map_err(|error| named(&error))?;
    let growth = growth(cost, last);
    println!("against {}: instructions {:+.1} %, allocations {:+.1} %", landed.display(), growth[0], growth[1]);
    if growth.iter().any(|growth| *growth > MARGIN) {
        let figures = serde_json::to_string(&cost)?;
        return Err(format!(
            "an aggregate costs more than {MARGIN} % more than the last landed one: if that is meant, write {figures} into {} and say \
             why in the commit",
            landed.display()
        )
        .into());
    }
    if growth.iter().any(|growth| *growth < -MARGIN) {
        let figures = serde_json::to_string(&cost)?;
        println!("it costs less: lower {} to {figures}, so that it stays so", landed.display());
    }
    Ok(())
}

/// Returns how much more it costs, in percent.
fn growth(now: Cost, last: Cost) -> [f64; 2] {
    let percent = |now: f64, last: f64| (now / last - 1.0) * 100.0;
    [percent(now.instructions, last.instructions), percent(now.allocations, last.allocations)]
}

/// Returns the table.
pub(crate) fn markdown(rows: &[Row]) -> String {
    let mut lines = vec![
        "| an aggregate of one caller | instructions | against the first | allocations |".to_owned(),
        "|---|--:|--:|--:|".to_owned(),
    ];
    lines.extend(rows.iter().map(|Row { subject, cost }| {
        let Cost { instructions, allocations } = cost;
        let ratio = instructions / rows[0].cost.instructions;
        format!("| {subject} | {instructions} | {ratio:.2} | {allocations:.1} |")
    }));
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_read() {
        let callgrind = "==7== Events    : Ir\n==7== Collected : 42623210\n==7== \n==7== I   refs:      42,623,210\n";
        assert_eq!(total_of(&INSTRUCTIONS, callgrind), Some(42_623_210));
        let dhat = "==7== Total:     6,983,039 bytes in 29,542 blocks\n==7== At t-gmax: 9 bytes in 2 blocks\n";
        assert_eq!(total_of(&ALLOCATIONS, dhat), Some(29_542));
        assert_eq!(total_of(&ALLOCATIONS, callgrind), None);
    }

    #[test]
    fn more_than_the_margin_is_an_error_that_says_what_to_do() {
        let file = std::env::temp_dir().join(format!("landed-{}.json", std::process::id()));
        fs::write(&file, r#"{"instructions": 1000, "allocations": 100}"#).unwrap();
        let check = |instructions, allocations| check(Cost { instructions, allocations }, &file);
        assert!(check(1_029.0, 90.0).is_ok() && check(500.0, 102.9).is_ok());
        for (instructions, allocations) in [(1_031.0, 100.0), (1_000.0, 103.1)] {
            let error = check(instructions, allocations).unwrap_err().to_string();
            assert!(error.contains("landed") && error.contains("\"allocations\""), "{error}");
        }
        fs::write(&file, "{}").unwrap();
        assert!(check(1.0, 1.0).unwrap_err().to_string().contains("missing field"));
        fs::remove_file(&file).unwrap();
    }
}
