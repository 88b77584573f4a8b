//! `fanout load`: many requests, counted by status code and timed.
//!
//! There are two ways to load a server, which answer two questions:
//!
//! * **Closed loop** (`--callers N`): each caller sends a request, waits for its reply, and sends the next. How fast are
//!   this many callers served? A server that stalls stalls its callers too.
//! * **Open loop** (`--rate R`): requests are due at fixed instants, whatever the server does, like those of independent
//!   users. Latency counts **from the instant at which a request was due**, so that a stall shows in the latency of all
//!   requests that were due during it, and not of one only. Leaving it out is called coordinated omission; source:
//!   Gil Tene, "How NOT to Measure Latency", and the documentation of his `HdrHistogram`
//!   (<https://hdrhistogram.github.io/HdrHistogram/>), which also holds the latencies here.
//!
//! # Layout
//!
//! * [`workload`]: the flags, and the workload that they describe.
//! * `help`: examples of them.
//! * [`caller`]: makes one request, with little work of its own.
//! * [`worker`]: a task that runs many requests concurrently and counts them without a lock.
//! * [`pacer`]: the instants at which an open loop's requests are due.
//! * [`tally`], [`latencies`]: the counts and latencies of a worker, merged at the end; [`measurement`]: the result.
//! * [`histogram`], [`summary`], [`json`]: the result, for people and for programs.

pub mod caller;
mod help;
pub mod histogram;
pub mod json;
pub mod latencies;
pub mod measurement;
pub mod pacer;
pub mod summary;
pub mod tally;
pub mod worker;
pub mod workload;

use std::{
    sync::{Arc, atomic::AtomicU64},
    thread::available_parallelism,
    time::Instant,
};

use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};

pub use self::workload::LoadArgs;
use self::{
    caller::Caller,
    json::Document,
    measurement::Measurement,
    pacer::Schedule,
    tally::{Progress, Tally},
    worker::{Quota, Worker},
    workload::{Loop, Workload},
};
use crate::{
    completion::{ClientError, Completion},
    gateway_client::connector::Connector,
    terminal::{live_line::LiveLine, stdout, text_layout::grouped},
};

/// Runs the command: makes the requests, then prints the figures. Ctrl-C ends the requests early; what was measured
/// until then is printed.
///
/// # Errors
///
/// Returns an error if nothing answers at the gateway's address, if the gateway rejects the request before it makes a
/// call, or if standard output cannot be written.
pub async fn load(args: &LoadArgs) -> Result<Completion, ClientError> {
    let workload = Workload::new(args);
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        // If the handler cannot be installed, only the early end is lost: Ctrl-C ends the process as usual.
        if tokio::signal::ctrl_c().await.is_ok() {
            let _ = stop.send(true);
        } else {
            std::future::pending::<()>().await;
        }
    });
    let measurement = measure(&workload, stopped).await?;
    let text = if args.output.json {
        serde_json::to_string_pretty(&Document::new(&workload, &measurement))? + "\n"
    } else {
        summary::screen(&workload, &measurement, args.output.terminal())
    };
    stdout::print(&text)?;
    Ok(if measurement.tally.succeeded() > 0 { Completion::Success } else { Completion::RequestsFailed })
}

/// Makes the requests of the workload until they are done or `stopped` becomes true.
///
/// # Errors
///
/// Returns an error if nothing answers at the gateway's address, and as soon as the gateway rejects a request before it
/// makes a call: it would reject all. Other failed requests are counted.
///
/// # Panics
///
/// Panics if a worker panics, which is a bug.
pub async fn measure(workload: &Workload, stopped: watch::Receiver<bool>) -> Result<Measurement, ClientError> {
    let connector = Connector::new(&workload.request.options)?;
    let mut channels = vec![connector.connect_checked().await?];
    for _ in 1..workload.connections {
        channels.push(connector.connect().await?);
    }
    let progress = Arc::new(Progress::default());
    let live = live_line(Arc::clone(&progress));
    let (reject, mut rejected) = watch::channel(None);
    let caller = Arc::new(Caller::new(&workload.request, workload.strategy, channels, reject));
    let workers = available_parallelism().map_or(1, usize::from).min(workload.max_concurrency());
    let worker = |index| Worker {
        caller: Arc::clone(&caller),
        index,
        stopped: stopped.clone(),
        progress: Arc::clone(&progress),
    };

    let began = Instant::now();
    let mut tasks = JoinSet::new();
    match workload.load {
        Loop::Closed { callers, quota } => {
            let quota = Arc::new(Quota { issued: AtomicU64::new(0), limit: quota, began });
            for index in 0..workers {
                tasks.spawn(worker(index).closed(share(callers, workers, index), Arc::clone(&quota)));
            }
        }
        Loop::Open { rate, quota, max_in_flight } => {
            let (senders, receivers): (Vec<_>, Vec<_>) = (0..workers).map(|_| mpsc::unbounded_channel()).unzip();
            pacer::start(Schedule { rate, quota, began }, senders, stopped.clone());
            for (index, due) in receivers.into_iter().enumerate() {
                tasks.spawn(worker(index).open(share(max_in_flight, workers, index), due));
            }
        }
    }
    let tallies = tokio::select! {
        // A rejection first: the workers may have ended after it. They are aborted when the set is dropped.
        biased;
        Ok(reason) = rejected.wait_for(Option::is_some) => Err(ClientError::Rejected(reason.clone().unwrap_or_default())),
        tallies = tasks.join_all() => Ok(tallies),
    };
    let elapsed = began.elapsed();
    live.finish().await;
    let mut tally = Tally::new();
    tallies?.iter().for_each(|worker| tally.merge(worker));
    let interrupted = *stopped.borrow();
    Ok(Measurement { tally, elapsed, interrupted })
}

/// Returns the share of one of `parts`, such that no two shares differ by more than one.
fn share(whole: usize, parts: usize, part: usize) -> usize {
    whole / parts + usize::from(part < whole % parts)
}

fn live_line(progress: Arc<Progress>) -> LiveLine {
    LiveLine::start(move |elapsed| {
        let (done, failed) = progress.read();
        let rate = summary::per_second(done, elapsed);
        let failures = if failed > 0 { format!(", {} failed", grouped(failed)) } else { String::new() };
        format!("{} done, {rate} /s{failures}, {:.1} s", grouped(done), elapsed.as_secs_f64())
    })
}
