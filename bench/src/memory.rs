//! What requests in flight take, and what is given back: bursts of requests, all of which wait at the backends at the same
//! time, and are then answered at once.

use std::{rc::Rc, time::Duration};

use futures::future::join_all;
use serde::Serialize;
use tokio::{
    task::LocalSet,
    time::{sleep, timeout},
};

use crate::{
    BoxError,
    held_backends::{self, HeldBackends, MAX_STREAMS},
    load::clients,
    process::Process,
    request::Request,
    subject::{FANOUT, PLAIN_TONIC, Setup, Subject, free_address},
};

const BURSTS: usize = 3;

/// What is measured, and how many requests are in flight. Plain tonic has one connection to each backend, and a call without
/// a stream there does not arrive: as many as have one.
const SUBJECTS: [(Subject, usize); 2] = [(FANOUT, 10_000), (PLAIN_TONIC, 1_000)];
const _: () = assert!(SUBJECTS[1].1 < MAX_STREAMS as usize, "plain tonic's calls have streams");

/// How long it may take until all calls wait: less than the requests' deadline.
const ARRIVAL: Duration = Duration::from_secs(9);
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

/// Measures the gateway and plain tonic. `setup` names the real backends, whose replies are taken.
///
/// # Errors
///
/// Returns an error if one of them does not start, if its calls do not arrive, or if it ends.
pub(crate) async fn measure(setup: &Setup) -> Result<Vec<Memory>, BoxError> {
    let backends =
        HeldBackends::start(held_backends::replies(&setup.user_service, &setup.country_service).await?).await?;
    let mut setup = setup.clone();
    setup.user_service.clone_from(&backends.address);
    setup.country_service.clone_from(&backends.address);
    let mut all = Vec::new();
    for (subject, in_flight) in SUBJECTS {
        eprintln!("memory: {}, {BURSTS} bursts of {in_flight} requests", subject.name);
        let measured = LocalSet::new().run_until(measure_one(subject, in_flight, &setup, &backends)).await;
        all.push(measured.map_err(|error| format!("{}: {error}", subject.name))?);
    }
    Ok(all)
}

async fn measure_one(
    subject: Subject,
    in_flight: usize,
    setup: &Setup,
    backends: &HeldBackends,
) -> Result<Memory, BoxError> {
    let address = free_address()?;
    let command = (subject.command)(setup, &address)?;
    let process = Process::start(command, &address, &setup.log(&format!("memory-{}", subject.name))).await?;
    let request = Rc::new((subject.request)(setup.lengths, 2));
    // Its connections, and what is made by the first requests, are there.
    crate::first(&address, &request).await?;
    let mut failed = burst(&address, &request, 8).await?;
    process.usage().forget_peak()?;
    let idle = process.usage().memory()?;
    let mut waiting = 0;
    for _ in 0..BURSTS {
        backends.hold();
        let in_the_middle = async {
            let all_wait = timeout(ARRIVAL, backends.until_waiting(in_flight)).await;
            let arrived = backends.waiting();
            let memory = process.usage().memory();
            backends.release();
            all_wait.map_err(|_| format!("{arrived} of {} calls wait after {} s", 2 * in_flight, ARRIVAL.as_secs()))?;
            Ok::<_, BoxError>(memory?)
        };
        let (burst, memory) = tokio::join!(burst(&address, &request, in_flight), in_the_middle);
        failed += burst?;
        waiting = memory?;
    }
    let peak = process.usage().peak_memory()?;
    sleep(REST).await;
    let after = process.usage().memory()?;
    Ok(Memory { subject: subject.name, in_flight, idle, waiting, peak, after, failed })
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
    let rest = REST.as_secs();
    let mut lines = vec![
        format!(
            "| | in flight | idle | waiting, a request | at the peak, a request | given back after {rest} s | no answer |"
        ),
        "|---|--:|--:|--:|--:|--:|--:|".to_owned(),
    ];
    lines.extend(all.iter().map(|memory| {
        let Memory { subject, in_flight, idle, waiting, peak, after, failed } = memory;
        let failed = if *failed == 0 { String::new() } else { failed.to_string() };
        let a_request = |memory: u64| number(memory.saturating_sub(*idle)) / number(*in_flight as u64);
        format!(
            "| {subject} | {in_flight} | {:.1} MiB | {:.1} KiB | {:.1} KiB | {:.0} % | {failed} |",
            number(*idle) / 1024.0,
            a_request(*waiting),
            a_request(*peak),
            100.0 * number(peak.saturating_sub(*after)) / number(peak.saturating_sub(*idle).max(1)),
        )
    }));
    format!("{}\n\n{BURSTS} bursts: waiting is in the last, when all calls are at the backends.\n", lines.join("\n"))
}

#[expect(clippy::cast_precision_loss, reason = "the memory of a process, and a number of requests")]
fn number(number: u64) -> f64 {
    number as f64
}
