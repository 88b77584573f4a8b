//! Calls at a constant rate, all at once, or cancelled.

use std::{collections::BTreeMap, time::Duration};

use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};
use tonic::{Request, Status};

use crate::{
    greeter::{SayHelloRequest, greeter_client::GreeterClient},
    rival::BoxChannel,
};

/// The deadline of each call.
pub(crate) const DEADLINE: Duration = Duration::from_secs(2);

/// Ends a call that its channel does not end at the deadline.
const HANG_TIMEOUT: Duration = Duration::from_secs(4);

/// What the calls ask for.
#[derive(Clone, Copy)]
pub(crate) struct Call {
    pub(crate) delay_ms: u32,
    pub(crate) padding_bytes: u32,
}

/// What came back.
#[derive(Default)]
pub(crate) struct Outcomes {
    /// How long each call took, in ascending order. A failed call counts as one that took until
    /// its deadline.
    pub(crate) latencies: Vec<Duration>,
    /// Failed calls by code and message.
    pub(crate) failures: BTreeMap<String, usize>,
}

/// Starts a call at each tick of a constant rate, however long earlier calls take, and returns
/// after the last has ended.
pub(crate) async fn at_rate(channel: &BoxChannel, call: Call, count: usize, per_second: u32) -> Outcomes {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / per_second);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut calls = JoinSet::new();
    for _ in 0..count {
        ticks.tick().await;
        calls.spawn(timed(channel.clone(), call));
    }
    collect(calls).await
}

/// Starts all calls at once.
pub(crate) async fn at_once(channel: &BoxChannel, call: Call, count: usize) -> Outcomes {
    let mut calls = JoinSet::new();
    for _ in 0..count {
        calls.spawn(timed(channel.clone(), call));
    }
    collect(calls).await
}

/// Starts calls in waves and drops each wave after this time, without a look at its results.
pub(crate) async fn cancelled(channel: &BoxChannel, call: Call, count: usize, wave: usize, after: Duration) {
    for _ in 0..count.div_ceil(wave) {
        let mut calls = JoinSet::new();
        for _ in 0..wave {
            calls.spawn(timed(channel.clone(), call));
        }
        tokio::time::sleep(after).await;
        calls.shutdown().await;
    }
}

/// Makes one call, and says why if it fails.
pub(crate) async fn once(channel: BoxChannel, call: Call) -> Result<(), Status> {
    let Call { delay_ms, padding_bytes } = call;
    let mut request = Request::new(SayHelloRequest { name: "Ada".to_owned(), delay_ms, padding_bytes });
    request.set_timeout(DEADLINE);
    let mut client = GreeterClient::new(channel);
    match tokio::time::timeout(HANG_TIMEOUT, client.say_hello(request)).await {
        Ok(reply) => reply.map(drop),
        Err(_) => Err(Status::deadline_exceeded("hung past its deadline")),
    }
}

async fn timed(channel: BoxChannel, call: Call) -> (Duration, Result<(), Status>) {
    let start = Instant::now();
    let result = once(channel, call).await;
    (start.elapsed(), result)
}

async fn collect(mut calls: JoinSet<(Duration, Result<(), Status>)>) -> Outcomes {
    let mut outcomes = Outcomes::default();
    while let Some(call) = calls.join_next().await {
        let (elapsed, result) = call.expect("a call does not panic");
        match result {
            Ok(()) => outcomes.latencies.push(elapsed),
            Err(status) => {
                outcomes.latencies.push(elapsed.max(DEADLINE));
                *outcomes.failures.entry(describe(&status)).or_default() += 1;
            }
        }
    }
    outcomes.latencies.sort_unstable();
    outcomes
}

fn describe(status: &Status) -> String {
    format!("{:?}: {}", status.code(), status.message())
}

// === impl Outcomes ===

impl Outcomes {
    /// Adds the calls of another load.
    pub(crate) fn merge(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.latencies.sort_unstable();
        for (failure, count) in other.failures {
            *self.failures.entry(failure).or_default() += count;
        }
    }

    /// How many calls failed.
    pub(crate) fn failed(&self) -> usize {
        self.failures.values().sum()
    }

    /// Returns the latency that this share of the calls did not exceed.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "a share of a count of calls"
    )]
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        let rank = (self.latencies.len() as f64 * share).ceil() as usize;
        self.latencies.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Outcomes;

    #[test]
    fn quantiles_are_by_nearest_rank() {
        let latencies = (1..=100).map(Duration::from_millis).collect();
        let outcomes = Outcomes { latencies, ..Outcomes::default() };
        let quantiles = [0.5, 0.99, 1.0].map(|share| outcomes.quantile(share).as_millis());
        assert_eq!(quantiles, [50, 99, 100]);
        assert_eq!(Outcomes::default().quantile(0.5), Duration::ZERO);
    }
}
