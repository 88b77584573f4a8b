//! Sends a call that is late a second time, and takes the first answer.

use std::{
    str::FromStr,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{
    future::{BoxFuture, Either, select},
    pin_mut,
};
use hdrhistogram::Histogram;
use parking_lot::Mutex;
use rpc_layers::trace::SpanSlot;
use tokio::time::Instant;
use tower::{
    Service, ServiceExt as _,
    retry::budget::{Budget as _, TpsBudget},
};

use crate::{
    call::{AnyReply, UnaryCall},
    error::{Cause, Failure},
    metrics::Metrics,
    policy::budget::budget,
};

/// How many answers a percentile needs before it says anything.
const MIN_SAMPLES: u64 = 100;

/// How long an answer counts for the percentile, at least; twice that at most.
const WINDOW: Duration = Duration::from_secs(10);

/// How many hedges a second there may be whatever the share.
const FLOOR: u32 = 2;

/// When a call counts as late.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum HedgeAfter {
    /// Never.
    Off,
    /// After this time.
    Delay(Duration),
    /// When this share of the latest answers, of 100, was faster.
    Percentile(f64),
}

/// Sends each call that is late once more, for as long as the budget pays.
///
/// Whatever loses is dropped, and so reset at the backend. A failure that another try may mend does not win against a
/// call that is still under way.
///
/// Our own, because tower's `hedge` knows percentiles alone, has no budget, and lets a failure win.
#[derive(Clone, Debug)]
pub(crate) struct Hedge<S> {
    inner: S,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    after: HedgeAfter,
    budget: TpsBudget,
    seen: Mutex<RotatingHistogram>,
    metrics: Metrics,
}

/// Latencies in microseconds: of the window that runs, and of the one before.
#[derive(Debug)]
struct RotatingHistogram {
    current: Histogram<u32>,
    last: Histogram<u32>,
    since: Instant,
}

// === impl Hedge ===

impl<S> Hedge<S> {
    /// Hedges a `share` of the calls at most, and two a second.
    pub(crate) fn new(inner: S, after: HedgeAfter, share: f32, metrics: Metrics) -> Self {
        let budget = budget(share, FLOOR);
        Self { inner, shared: Arc::new(Shared { after, budget, seen: Mutex::new(RotatingHistogram::new()), metrics }) }
    }
}

impl<S> Service<UnaryCall> for Hedge<S>
where
    S: Service<UnaryCall, Response = AnyReply, Error = Failure> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = AnyReply;
    type Error = Failure;
    type Future = Either<S::Future, BoxFuture<'static, Result<AnyReply, Failure>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, call: UnaryCall) -> Self::Future {
        if self.shared.after == HedgeAfter::Off || !call.inner.method.is_idempotent() {
            return Either::Left(self.inner.call(call));
        }
        let (spans, mut second) = ([SpanSlot::default(), SpanSlot::default()], call.clone());
        second.span = Some(spans[1].clone());
        let first = self.inner.call(UnaryCall { span: Some(spans[0].clone()), ..call });
        let (inner, shared) = (self.inner.clone(), Arc::clone(&self.shared));
        Either::Right(Box::pin(async move { shared.race(first, inner, second, spans).await }))
    }
}

// === impl Shared ===

impl Shared {
    async fn race<S>(
        &self,
        first: S::Future,
        inner: S,
        second: UnaryCall,
        spans: [SpanSlot; 2],
    ) -> Result<AnyReply, Failure>
    where
        S: Service<UnaryCall, Response = AnyReply, Error = Failure>,
    {
        let begun = Instant::now();
        self.budget.deposit();
        let result = match self.delay() {
            None => first.await,
            Some(delay) => {
                pin_mut!(first);
                match tokio::time::timeout(delay, &mut first).await {
                    Ok(result) => result,
                    Err(_) if !self.budget.withdraw() => first.await,
                    Err(_) => {
                        let attempts = second.inner.attempts.clone();
                        attempts.add_hedge();
                        let hedge = inner.oneshot(second);
                        pin_mut!(hedge);
                        // Dropping the loser, as the end of this block does, resets it.
                        let (result, hedge_won) = first_answer(first, hedge).await;
                        spans[0].record("fanout.hedge", if hedge_won { "lost" } else { "won" });
                        spans[1].record("fanout.hedge", if hedge_won { "won" } else { "lost" });
                        if hedge_won {
                            attempts.hedge_won();
                        }
                        self.metrics.hedged(hedge_won);
                        result
                    }
                }
            }
        };
        if result.is_ok() && matches!(self.after, HedgeAfter::Percentile(_)) {
            self.seen().record(begun.elapsed());
        }
        result
    }

    fn delay(&self) -> Option<Duration> {
        match self.after {
            HedgeAfter::Off => None,
            HedgeAfter::Delay(delay) => Some(delay),
            HedgeAfter::Percentile(percentile) => self.seen().percentile(percentile),
        }
    }

    fn seen(&self) -> parking_lot::MutexGuard<'_, RotatingHistogram> {
        self.seen.lock()
    }
}

/// The result of whichever answers first, and whether it was the second. Of two failures the first one's counts.
async fn first_answer<A, B>(first: A, second: B) -> (Result<AnyReply, Failure>, bool)
where
    A: Future<Output = Result<AnyReply, Failure>> + Unpin,
    B: Future<Output = Result<AnyReply, Failure>> + Unpin,
{
    match select(first, second).await {
        Either::Left((result, _)) if settles(&result) => (result, false),
        Either::Right((result, _)) if settles(&result) => (result, true),
        Either::Left((failed, second)) => match second.await {
            result if settles(&result) => (result, true),
            _ => (failed, false),
        },
        Either::Right((_, first)) => (first.await, false),
    }
}

/// Whether a result is final: a reply, or a failure that is an answer. One of the way there is not.
fn settles(result: &Result<AnyReply, Failure>) -> bool {
    match result {
        Ok(_) => true,
        Err(failure) => matches!(failure.cause, Cause::Answered(_)) && !failure.is_backends_fault(),
    }
}

// === impl RotatingHistogram ===

impl RotatingHistogram {
    fn new() -> Self {
        // Up to an hour; what takes longer counts as that.
        let histogram = || Histogram::new_with_bounds(1, 3_600_000_000, 2).expect("these bounds are allowed");
        Self { current: histogram(), last: histogram(), since: Instant::now() }
    }

    fn record(&mut self, latency: Duration) {
        self.rotate();
        self.current.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
    }

    fn percentile(&mut self, percentile: f64) -> Option<Duration> {
        self.rotate();
        // The window that runs, or the one before while that holds too little yet.
        let seen = [&self.current, &self.last].into_iter().find(|seen| seen.len() >= MIN_SAMPLES)?;
        Some(Duration::from_micros(seen.value_at_percentile(percentile)))
    }

    fn rotate(&mut self) {
        if self.since.elapsed() < WINDOW {
            return;
        }
        let stale = self.since.elapsed() >= 2 * WINDOW;
        std::mem::swap(&mut self.current, &mut self.last);
        self.current.reset();
        if stale {
            self.last.reset();
        }
        self.since = Instant::now();
    }
}

// === impl HedgeAfter ===

impl FromStr for HedgeAfter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let allowed = "off, a delay such as 50ms, or a percentile such as p95 is allowed";
        if text == "off" {
            return Ok(Self::Off);
        }
        if let Some(percentile) = text.strip_prefix('p') {
            return match percentile.parse() {
                Ok(percentile) if (1.0..100.0).contains(&percentile) => Ok(Self::Percentile(percentile)),
                _ => Err(format!("a percentile is between p1 and p99.9: {allowed}")),
            };
        }
        match humantime::parse_duration(text) {
            Ok(delay) if !delay.is_zero() => Ok(Self::Delay(delay)),
            _ => Err(allowed.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests;
