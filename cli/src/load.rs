//! `fanout load`: many requests, counted by status code and timed.
//!
//! Two ways to load a server, and two questions that they answer:
//!
//! * **Closed loop** (`--callers N`): each caller sends, waits for its reply, and sends the
//!   next. How fast are so many callers served? A server that stalls stalls its callers too.
//! * **Open loop** (`--rate R`): requests are due at fixed instants, whatever the server does,
//!   as those of users who know nothing of one another. A latency counts **from the instant
//!   at which the request was due**, so that a stall is in the figures of all requests that fell
//!   into it, and not in one figure only. To leave that out is "coordinated omission"; source:
//!   Gil Tene, "How NOT to Measure Latency", and the documentation of his `HdrHistogram`
//!   (<https://hdrhistogram.github.io/HdrHistogram/>), which also keeps the figures here.
//!
//! # Layout
//!
//! * [`workload`]: flags, and the plan that follows from them.
//! * [`caller`]: one request: the message is encoded once, of a reply only status and times are read.
//! * [`worker`]: a task that drives many requests at once and counts them without a lock.
//! * [`pacer`]: the instants at which an open loop's requests are due.
//! * [`tally`], [`latencies`]: what is counted; merged at the end.
//! * [`histogram`], [`summary`], [`json`]: the result, for people and for programs.

pub mod caller;
pub mod histogram;
pub mod json;
pub mod latencies;
pub mod pacer;
pub mod summary;
pub mod tally;
pub mod worker;
pub mod workload;

use std::{
    sync::{Arc, atomic::AtomicU64},
    thread::available_parallelism,
    time::{Duration, Instant},
};

use futures::future::join_all;
use tokio::sync::{mpsc, watch};

pub use self::workload::LoadArgs;
use self::{
    caller::Caller,
    json::Document,
    pacer::Schedule,
    tally::{Progress, Tally},
    worker::{Quota, Shard},
    workload::{Loop, Plan},
};
use crate::{
    command::{Error, Outcome},
    gateway_client::address::Unreachable,
    terminal::{live_line::LiveLine, stdout, text_layout::grouped},
};

/// What was measured.
#[derive(Debug)]
pub struct Measured {
    /// What was counted.
    pub tally: Tally,
    /// From the first request to the last reply.
    pub elapsed: Duration,
    /// Whether it was ended early.
    pub interrupted: bool,
}

/// Runs the command: requests, then their figures on standard output. Ctrl-C ends the
/// requests early, and what was measured until then is shown.
///
/// # Errors
///
/// Where nobody answers at the gateway's address, or standard output cannot be written.
pub async fn load(args: &LoadArgs) -> Result<Outcome, Error> {
    let plan = Plan::new(args);
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        // Without a handler Ctrl-C would end the process: that it cannot be set up only loses the early end.
        if tokio::signal::ctrl_c().await.is_ok() {
            let _ = stop.send(true);
        } else {
            std::future::pending::<()>().await;
        }
    });
    let measured = measure(&plan, stopped).await?;
    let text = if args.output.json {
        serde_json::to_string_pretty(&Document::new(&plan, &measured))? + "\n"
    } else {
        summary::screen(&plan, &measured, args.output.terminal())
    };
    stdout::print(&text)?;
    Ok(if measured.tally.succeeded() > 0 { Outcome::Success } else { Outcome::RequestsFailed })
}

/// Makes the requests of the plan, until they are done or `stopped` turns true.
///
/// # Errors
///
/// Where nobody answers at the gateway's address. Requests that fail are counted.
///
/// # Panics
///
/// Where one of its tasks did, which none does.
pub async fn measure(plan: &Plan, stopped: watch::Receiver<bool>) -> Result<Measured, Unreachable> {
    let mut channels = Vec::with_capacity(plan.connections);
    for _ in 0..plan.connections {
        channels.push(plan.request.gateway.connect().await?);
    }
    let progress = Arc::new(Progress::default());
    let live = live_line(Arc::clone(&progress));
    let caller = Arc::new(Caller::new(&plan.request, plan.strategy, channels));
    let shards = available_parallelism().map_or(1, usize::from).min(plan.at_once());
    let shard =
        |index| Shard { caller: Arc::clone(&caller), index, stopped: stopped.clone(), progress: Arc::clone(&progress) };

    let began = Instant::now();
    let tasks: Vec<_> = match plan.load {
        Loop::Closed { callers, quota } => {
            let quota = Arc::new(Quota { issued: AtomicU64::new(0), limit: quota, began });
            let start = |index| tokio::spawn(shard(index).closed(share(callers, shards, index), Arc::clone(&quota)));
            (0..shards).map(start).collect()
        }
        Loop::Open { rate, quota, max_in_flight } => {
            let (senders, receivers): (Vec<_>, Vec<_>) = (0..shards).map(|_| mpsc::unbounded_channel()).unzip();
            pacer::start(Schedule { rate, quota, began }, senders, stopped.clone());
            let start = |(index, due)| tokio::spawn(shard(index).open(share(max_in_flight, shards, index), due));
            receivers.into_iter().enumerate().map(start).collect()
        }
    };
    let mut tally = Tally::new();
    for shard in join_all(tasks).await {
        tally.merge(&shard.expect("a shard does not panic"));
    }
    let elapsed = began.elapsed();
    live.finish().await;
    let interrupted = *stopped.borrow();
    Ok(Measured { tally, elapsed, interrupted })
}

/// How many of the whole fall to a part, such that no two differ by more than one.
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
