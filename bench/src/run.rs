//! Runs a scenario: all of its subjects at the same time, each of them measured in turn, round after round. What the
//! machine does meanwhile comes over all of them alike.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use crate::{
    BoxError,
    load::Load,
    process::Process,
    sample::Sample,
    scenario::{Point, Scenario},
    subject::{Setup, Subject, free_address},
};

/// How often and how long each is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    pub(crate) rounds: usize,
    pub(crate) time: Duration,
}

struct Running {
    subject: Subject,
    address: String,
    process: Process,
}

/// Measures, and says on standard error how far it is.
///
/// # Errors
///
/// Returns an error if no subject starts. One that does not is skipped with a word.
pub(crate) async fn run(scenario: Scenario, setup: &Setup, effort: Effort) -> Result<Vec<Sample>, BoxError> {
    let running: Vec<_> = scenario.subjects().iter().filter_map(|subject| start(*subject, setup)).collect();
    if running.is_empty() {
        return Err(format!("nothing of {} could be started", scenario.name()).into());
    }
    let points = scenario.points();
    let steps = effort.rounds * points.len() * running.len();
    let mut samples = Vec::with_capacity(steps);
    for round in 0..effort.rounds {
        for point in &points {
            for nth in 0..running.len() {
                // Another one begins in each round: what comes before leaves caches and clocks behind.
                let Running { subject, address, process } = &running[(nth + round) % running.len()];
                progress(scenario, samples.len(), steps, subject, *point)?;
                let load = Load {
                    address: address.clone(),
                    request: (subject.request)(setup.lengths, point.width),
                    in_flight: point.in_flight,
                    time: effort.time,
                };
                let measured = load.measure(process).await.map_err(|error| format!("{}: {error}", subject.name))?;
                samples.push(Sample::new(scenario, subject, *point, round, &measured));
            }
        }
    }
    eprintln!();
    Ok(samples)
}

fn start(subject: Subject, setup: &Setup) -> Option<Running> {
    let begin = || -> io::Result<Running> {
        let address = free_address()?;
        let log = setup.directory.join(format!("{}.log", subject.name.replace(|c: char| !c.is_alphanumeric(), "-")));
        let process = Process::start((subject.command)(setup, &address)?, &address, &log)?;
        Ok(Running { subject, address, process })
    };
    match begin() {
        Ok(running) => Some(running),
        Err(error) => {
            eprintln!("skipped: {}: {error}", subject.name);
            None
        }
    }
}

fn progress(scenario: Scenario, done: usize, steps: usize, subject: &Subject, point: Point) -> io::Result<()> {
    let Point { in_flight, width } = point;
    let what = if scenario == Scenario::Width { format!("{width} calls") } else { format!("{in_flight} in flight") };
    // The rest of the line before is erased.
    eprint!("\r\x1b[K{}: {} of {steps}: {}, {what}", scenario.name(), done + 1, subject.name);
    io::stderr().flush()
}
