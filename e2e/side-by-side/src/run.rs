//! One rival through one fault, and what it measures.

use std::{collections::BTreeMap, fmt, time::Duration};

use process_usage::ProcessUsage;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::{
    BoxError,
    fault::Fault,
    load::{self, Call},
    replica::Replica,
    rival::{BoxChannel, Rival},
};

/// Calls before the measurement, so that each rival has its connections.
const WARM_UP_CALLS: usize = 30;
const WARM_UP_RATE: u32 = 100;
const WARM_UP_TIMEOUT: Duration = Duration::from_secs(5);

/// What a run measured.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RunResult {
    pub(crate) rival: String,
    pub(crate) fault: String,
    pub(crate) calls: usize,
    pub(crate) failed: usize,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
    /// Growth of the client process's resident memory at its peak.
    pub(crate) memory_kib: u64,
    pub(crate) seconds: f64,
    /// Failed calls by code and message.
    pub(crate) failures: BTreeMap<String, usize>,
}

/// Runs one rival through one fault.
///
/// # Errors
///
/// Returns an error if the servers do not start, or if no call succeeds before the fault.
pub(crate) async fn run(rival: Rival, fault: Fault, quick: bool) -> Result<RunResult, BoxError> {
    let replicas = fault.replicas()?;
    let endpoints: Vec<_> = replicas.iter().map(Replica::endpoint).collect();
    let channel = rival.connect(&endpoints)?;
    warm_up(&channel).await?;

    let usage = ProcessUsage::of_this();
    let before = usage.memory()?;
    let start = Instant::now();
    let outcomes = fault.run(&channel, &replicas, quick).await?;
    let milliseconds = |share| outcomes.quantile(share).as_secs_f64() * 1e3;
    Ok(RunResult {
        rival: rival.name().to_owned(),
        fault: fault.name().to_owned(),
        calls: outcomes.latencies.len(),
        failed: outcomes.failed(),
        p50_ms: milliseconds(0.5),
        p99_ms: milliseconds(0.99),
        p999_ms: milliseconds(0.999),
        memory_kib: usage.peak_memory()?.saturating_sub(before),
        seconds: start.elapsed().as_secs_f64(),
        failures: outcomes.failures,
    })
}

async fn warm_up(channel: &BoxChannel) -> Result<(), BoxError> {
    let call = Call { delay_ms: 1, padding_bytes: 0 };
    let started = Instant::now();
    while let Err(status) = load::once(channel.clone(), call).await {
        if started.elapsed() > WARM_UP_TIMEOUT {
            return Err(format!("no call succeeded before the fault: {status}").into());
        }
    }
    load::at_rate(channel, call, WARM_UP_CALLS, WARM_UP_RATE).await;
    Ok(())
}

// === impl RunResult ===

impl fmt::Display for RunResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rival, fault, calls, failed, p50_ms, p99_ms, p999_ms, memory_kib, seconds, failures } = self;
        write!(
            f,
            "{rival}, {fault}: {failed} of {calls} calls failed, p50 {p50_ms:.0} ms, p99 {p99_ms:.0} ms, p99.9 {p999_ms:.0} ms, \
             memory +{:.1} MiB ({seconds:.1} s)",
            mebibytes(*memory_kib)
        )?;
        for (failure, count) in failures {
            write!(f, "\n    {count} × {failure}")?;
        }
        Ok(())
    }
}

/// KiB as MiB.
#[allow(clippy::cast_precision_loss, reason = "memory of a process")]
pub(crate) fn mebibytes(kib: u64) -> f64 {
    kib as f64 / 1024.0
}
