//! Sends a late call once more, and takes the first reply.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{
    FutureExt as _, StreamExt as _,
    future::{BoxFuture, Either, OptionFuture},
    stream::FuturesUnordered,
};
use parking_lot::Mutex;
use rpc_layers::trace::SpanSlot;
use tokio::time::{Instant, Sleep};
use tower::{Service, ServiceExt as _};

use crate::{
    call::Call,
    config::HedgeAfter,
    error::{Cause, Failure, Pushback},
    method_policy::HedgePolicy,
    metrics::Metrics,
    policy::{budget::Budget, rotating_histogram::RotatingHistogram},
    reply::Reply,
};

/// Sends each late call once more, or several times, for as long as the budget allows it.
///
/// The losers are dropped, and so reset at the backend. A failure that another attempt may mend does not win against an
/// attempt that is still under way. Only unary calls are hedged, and of these the idempotent ones and those for which a
/// service config says so.
///
/// Our own, because tower's `hedge` knows percentiles alone, has no budget, and lets a failure win.
#[derive(Clone, Debug)]
pub(crate) struct Hedge<S> {
    inner: S,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    budget: Arc<Budget>,
    seen: Mutex<RotatingHistogram>,
    metrics: Metrics,
}

/// The attempts of one call that are under way.
struct Race<S> {
    inner: S,
    call: Call,
    policy: HedgePolicy,
    attempts: FuturesUnordered<BoxFuture<'static, (usize, Result<Reply, Failure>)>>,
    spans: Vec<SpanSlot>,
    /// The failure of the attempt that began first, of those that failed.
    failure: Option<(usize, Failure)>,
}

/// Returns whether calls such as this one are hedged.
fn is_hedged(policy: &HedgePolicy, call: &Call) -> bool {
    policy.after != HedgeAfter::Off && call.is_unary() && (call.is_idempotent() || policy.non_fatal.is_some())
}

/// Returns whether another attempt cannot mend a failure.
fn is_final(policy: &HedgePolicy, failure: &Failure) -> bool {
    match policy.non_fatal {
        Some(codes) => !codes.contains(failure.status.code()),
        None => matches!(failure.cause, Cause::Answered(_)) && !failure.is_mendable(),
    }
}

fn after(delay: Duration) -> Pin<Box<Sleep>> {
    Box::pin(tokio::time::sleep(delay))
}

// === impl Hedge ===

impl<S> Hedge<S> {
    pub(crate) fn new(inner: S, budget: Arc<Budget>, metrics: Metrics) -> Self {
        Self { inner, shared: Arc::new(Shared { budget, seen: Mutex::new(RotatingHistogram::new()), metrics }) }
    }
}

impl<S> Service<Call> for Hedge<S>
where
    S: Service<Call, Response = Reply, Error = Failure> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Reply;
    type Error = Failure;
    type Future = Either<S::Future, BoxFuture<'static, Result<Reply, Failure>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let policy = call.inner.method.policy().hedge;
        if !is_hedged(&policy, &call) {
            return Either::Left(self.inner.call(call));
        }
        let span = SpanSlot::default();
        let first = self.inner.call(Call { span: Some(span.clone()), ..call.clone() });
        let race = Race {
            inner: self.inner.clone(),
            call,
            policy,
            attempts: FuturesUnordered::new(),
            spans: vec![span],
            failure: None,
        };
        let shared = Arc::clone(&self.shared);
        Either::Right(Box::pin(async move { shared.run(first, race).await }))
    }
}

// === impl Shared ===

impl Shared {
    async fn run<S>(&self, first: S::Future, mut race: Race<S>) -> Result<Reply, Failure>
    where
        S: Service<Call, Response = Reply, Error = Failure> + Clone + Send + 'static,
        S::Future: Send,
    {
        let begun = Instant::now();
        self.budget.started();
        let result = match self.delay(race.policy.after) {
            None => first.await,
            Some(delay) => {
                race.attempts.push(first.map(|result| (0, result)).boxed());
                race.run(delay, &self.budget, &self.metrics).await
            }
        };
        if result.is_ok() && matches!(race.policy.after, HedgeAfter::Percentile(_)) {
            self.seen.lock().record(begun.elapsed());
        }
        result
    }

    fn delay(&self, after: HedgeAfter) -> Option<Duration> {
        match after {
            HedgeAfter::Off => None,
            HedgeAfter::Delay(delay) => Some(delay),
            HedgeAfter::Percentile(percentile) => self.seen.lock().percentile(percentile),
        }
    }
}

// === impl Race ===

impl<S> Race<S>
where
    S: Service<Call, Response = Reply, Error = Failure> + Clone + Send + 'static,
    S::Future: Send,
{
    /// Runs the attempts, one more after each `delay`, until one settles the call or all have failed.
    async fn run(&mut self, delay: Duration, budget: &Budget, metrics: &Metrics) -> Result<Reply, Failure> {
        let mut timer = Some(after(delay));
        loop {
            tokio::select! {
                biased;
                Some((number, result)) = self.attempts.next() => {
                    let failure = match result {
                        Err(failure) if !is_final(&self.policy, &failure) => failure,
                        settled => return self.won_by(number, settled, metrics),
                    };
                    budget.failed();
                    if let Some(next) = self.failed(number, failure) {
                        timer = Some(after(next));
                    }
                }
                Some(()) = OptionFuture::from(timer.as_mut()) => {
                    timer = None;
                    if self.may_send() && budget.withdraw() {
                        self.send();
                        timer = self.may_send().then(|| after(delay));
                    }
                }
            }
            let is_next_due = self.policy.non_fatal.is_some() && timer.is_some() && self.may_send();
            if self.attempts.is_empty() && !is_next_due {
                let (number, failure) = self.failure.take().expect("all of them failed");
                return self.won_by(number, Err(failure), metrics);
            }
        }
    }

    /// Notes a failure that is not final. Returns when to send the next hedge, if that changes: gRFC A6 has it at once, unless
    /// the server says otherwise.
    fn failed(&mut self, number: usize, failure: Failure) -> Option<Duration> {
        let next = match failure.cause {
            _ if self.policy.non_fatal.is_none() => None,
            Cause::Answered(Pushback::Never) => {
                self.policy.max_attempts = 0;
                None
            }
            Cause::Answered(Pushback::After(wait)) => Some(wait),
            _ => Some(Duration::ZERO),
        };
        if self.failure.as_ref().is_none_or(|(first, _)| number < *first) {
            self.failure = Some((number, failure));
        }
        next
    }

    fn may_send(&self) -> bool {
        self.spans.len() < self.policy.max_attempts as usize
    }

    fn send(&mut self) {
        let (number, span) = (self.spans.len(), SpanSlot::default());
        self.call.inner.attempts.add_hedge();
        let call = Call { span: Some(span.clone()), ..self.call.clone() };
        self.spans.push(span);
        self.attempts.push(self.inner.clone().oneshot(call).map(move |result| (number, result)).boxed());
    }

    /// Notes which attempt's result counts. Dropping the others, as the end of the race does, resets them.
    fn won_by(&self, winner: usize, result: Result<Reply, Failure>, metrics: &Metrics) -> Result<Reply, Failure> {
        if self.spans.len() > 1 {
            for (number, span) in self.spans.iter().enumerate() {
                span.record("fanout.hedge", if number == winner { "won" } else { "lost" });
            }
            if winner > 0 {
                self.call.inner.attempts.hedge_won();
            }
            (1..self.spans.len()).for_each(|number| metrics.hedged(number == winner));
        }
        result
    }
}

#[cfg(test)]
mod tests;
