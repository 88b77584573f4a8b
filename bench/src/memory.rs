//! What requests in flight take, and what is given back: bursts of requests that wait for slow backends.

use std::{rc::Rc, time::Duration};

use futures::future::join_all;
use serde::Serialize;
use tokio::{task::LocalSet, time::sleep};

use crate::{
    BoxError,
    load::clients,
    process::Process,
    request::Request,
    subject::{FANOUT, PLAIN_TONIC, Setup, Subject, free_address},
};

const IN_FLIGHT: usize = 10_000;
const BURSTS: usize = 3;

/// How long the backends take: longer than it takes to send all requests.
pub(crate) const DELAY: &str = "5s";
/// When all of them wait.
const WAITING: Duration = Duration::from_secs(4);
/// After it, what was taken should be given back.
const REST: Duration = Duration::from_secs(10);

/// What was measured of a subject. Memory is in KiB.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Memory {
    pub(crate) subject: &'static str,
    pub(crate) in_flight: usize,
    /// Before the first burst, after some requests.
    pub(crate) idle: u64,
    /// While all requests of the last burst wait.
    pub(crate) waiting: u64,
    /// The most in all bursts.
    pub(crate) peak: u64,
    /// Ten seconds after the last.
    pub(crate) after: u64,
    /// Requests without an answer.
    pub(crate) failed: usize,
}

/// Measures the gateway and plain tonic. `setup` names backends that take [`DELAY`].
///
/// # Errors
///
/// Returns an error if one of them does not start, or if it ends.
pub(crate) async fn measure(setup: &Setup) -> Result<Vec<Memory>, BoxError> {
    let mut all = Vec::new();
    for subject in [FANOUT, PLAIN_TONIC] {
        eprintln!("memory: {}, {BURSTS} bursts of {IN_FLIGHT} requests", subject.name);
        all.push(LocalSet::new().run_until(measure_one(subject, setup)).await?);
    }
    Ok(all)
}

async fn measure_one(subject: Subject, setup: &Setup) -> Result<Memory, BoxError> {
    let address = free_address()?;
    let process = Process::start((subject.command)(setup, &address)?, &address, &setup.directory.join("memory.log"))?;
    let request = Rc::new((subject.request)(setup.lengths, 2));
    // Its connections, and what is made by the first request, are there.
    let mut failed = burst(&address, &request, 8).await?;
    process.forget_peak()?;
    let idle = process.memory()?;
    let mut waiting = 0;
    for _ in 0..BURSTS {
        let in_the_middle = async {
            sleep(WAITING).await;
            process.memory()
        };
        let (burst, memory) = tokio::join!(burst(&address, &request, IN_FLIGHT), in_the_middle);
        failed += burst?;
        waiting = memory?;
    }
    let peak = process.peak_memory()?;
    sleep(REST).await;
    Ok(Memory { subject: subject.name, in_flight: IN_FLIGHT, idle, waiting, peak, after: process.memory()?, failed })
}

/// Makes requests at once. Returns how many had no answer.
async fn burst(address: &str, request: &Rc<Request>, number: usize) -> Result<usize, BoxError> {
    let callers = clients(address, request, number).await?.into_iter().map(|mut client| {
        let (request, address) = (Rc::clone(request), address.to_owned());
        tokio::task::spawn_local(async move { client.call(&request, &address).await.is_err() })
    });
    let failed = join_all(callers.collect::<Vec<_>>()).await;
    Ok(failed.into_iter().filter(|failed| *failed.as_ref().unwrap_or(&true)).count())
}

/// Returns the table.
pub(crate) fn markdown(all: &[Memory]) -> String {
    let mut lines = vec![
        format!(
            "| {IN_FLIGHT} in flight, {BURSTS} times | idle | waiting, a request | at the peak, a request | given back after {} s | no answer |",
            REST.as_secs()
        ),
        "|---|--:|--:|--:|--:|--:|".to_owned(),
    ];
    lines.extend(all.iter().map(|memory| {
        let Memory { subject, idle, failed, .. } = memory;
        let failed = if *failed == 0 { String::new() } else { failed.to_string() };
        format!(
            "| {subject} | {:.1} MiB | {:.1} KiB | {:.1} KiB | {:.0} % | {failed} |",
            kib(*idle) / 1024.0,
            kib(memory.waiting - idle.min(&memory.waiting)) / kib(IN_FLIGHT as u64),
            kib(memory.peak - idle.min(&memory.peak)) / kib(IN_FLIGHT as u64),
            100.0 * kib(memory.peak.saturating_sub(memory.after)) / kib(memory.peak.saturating_sub(*idle).max(1)),
        )
    }));
    lines.join("\n") + "\n"
}

#[expect(clippy::cast_precision_loss, reason = "the memory of a process")]
fn kib(kib: u64) -> f64 {
    kib as f64
}
