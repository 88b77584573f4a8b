//! Runs a scenario: all of its subjects at the same time, each of them measured in turn, round after round. What the
//! machine does meanwhile comes over all of them alike.

use std::{
    fs,
    io::{self, Write as _},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use crate::{
    BoxError,
    load::Load,
    process::Process,
    sample::Sample,
    scenario::{Point, Scenario},
    subject::{REPLICAS, Setup, Subject, free_address},
};

/// How long it may take until the gateway has a connection to each replica.
const CONNECTED: Duration = Duration::from_secs(30);

/// How often and how long each is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    pub(crate) rounds: usize,
    pub(crate) time: Duration,
}

/// What a run gave.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    pub(crate) all: Vec<Sample>,
    /// Subjects that could not be started.
    pub(crate) skipped: Vec<&'static str>,
    /// Measurements that contradict themselves, or came to no end. They are left out.
    pub(crate) invalid: Vec<String>,
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
pub(crate) async fn run(scenario: Scenario, setup: &Setup, effort: Effort) -> Result<Samples, BoxError> {
    let (mut running, mut samples) = (Vec::new(), Samples::default());
    for subject in scenario.subjects() {
        match start(subject, setup).await {
            Ok(started) => running.push(started),
            Err(error) => {
                eprintln!("skipped: {}: {error}", subject.name);
                samples.skipped.push(subject.name);
            }
        }
    }
    if running.is_empty() {
        return Err("nothing of it could be started".into());
    }
    let points = scenario.points();
    let (steps, mut done) = (effort.rounds * points.len() * running.len(), 0);
    for round in 0..effort.rounds {
        for point in &points {
            for nth in 0..running.len() {
                // Another one begins in each round: what comes before leaves caches and clocks behind.
                let Running { subject, address, process } = &running[(nth + round) % running.len()];
                done += 1;
                progress(scenario, done, steps, subject, *point)?;
                let load = Load {
                    address: address.clone(),
                    request: (subject.request)(setup.lengths, point.width),
                    in_flight: point.in_flight,
                    time: effort.time,
                };
                match load.measure(process).await {
                    Ok(measured) => samples.all.push(Sample::new(scenario, subject, *point, round, &measured)),
                    Err(error) => {
                        let what = format!("{}, {}: {error}", subject.name, scenario.at(*point));
                        eprintln!("\nnot valid: {what}");
                        samples.invalid.push(what);
                    }
                }
            }
        }
    }
    eprintln!();
    Ok(samples)
}

async fn start(subject: Subject, setup: &Setup) -> Result<Running, BoxError> {
    let address = free_address()?;
    let process = Process::start((subject.command)(setup, &address)?, &address, &setup.log(subject.name)).await?;
    crate::first(&address, &(subject.request)(setup.lengths, 2)).await?;
    if let Some((replicas, _)) = REPLICAS.iter().find(|(_, other)| other.name == subject.name) {
        // One to each of both backends.
        until_connected(&process, 2 * replicas).await?;
    }
    Ok(Running { subject, address, process })
}

/// Waits until a process has at least so many connections: as many open files, of which it has few others.
async fn until_connected(process: &Process, connections: usize) -> Result<(), BoxError> {
    let begun = Instant::now();
    loop {
        let open = fs::read_dir(format!("/proc/{}/fd", process.id()))?.count();
        if open >= connections {
            return Ok(());
        }
        if begun.elapsed() > CONNECTED {
            return Err(format!("{open} of {connections} connections after {} s", CONNECTED.as_secs()).into());
        }
        sleep(Duration::from_millis(20)).await;
    }
}

fn progress(scenario: Scenario, done: usize, steps: usize, subject: &Subject, point: Point) -> io::Result<()> {
    // The rest of the line before is erased.
    eprint!("\r\x1b[K{}: {done} of {steps}: {}, {}", scenario.name(), subject.name, scenario.at(point));
    io::stderr().flush()
}
