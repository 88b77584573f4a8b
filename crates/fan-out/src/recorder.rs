//! The state that running calls share: their times and the stop signal.

use std::{any::Any, panic::AssertUnwindSafe, sync::Arc};

use futures::FutureExt as _;
use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::{Span, field};

use crate::{
    label::Label,
    outcome::CallError,
    report::{CallReport, CallState, CallTime, Report},
    stop::Stop,
    strategy::{FailurePolicy, Strategy},
};

/// Records the calls of one fan-out and stops them when needed.
#[derive(Debug)]
pub struct Recorder {
    strategy: Strategy,
    policy: FailurePolicy,
    started: Instant,
    stop: Stop,
    calls: Mutex<Vec<CallRecord>>,
}

#[derive(Debug)]
struct CallRecord {
    label: Label,
    chain: u32,
    progress: Progress,
}

#[derive(Clone, Copy, Debug)]
enum Progress {
    Waiting,
    Running { since: Instant },
    Ended { state: CallState, since: Instant, at: Instant },
}

/// Records a call as cancelled if its future is dropped before it ends.
struct RunningGuard<'a> {
    recorder: &'a Recorder,
    index: usize,
    ended: bool,
}

/// Records the figures in the span when the fan-out ends. If it is dropped before its end,
/// also stops the calls that still run.
pub(crate) struct FanOutGuard {
    recorder: Arc<Recorder>,
    span: Span,
    finished: bool,
}

// === impl Recorder ===

impl Recorder {
    pub(crate) fn new(strategy: Strategy, policy: FailurePolicy) -> Self {
        let (started, stop) = (Instant::now(), Stop::default());
        Self { strategy, policy, started, stop, calls: Mutex::default() }
    }

    /// Lets the fan-out begin now, and not when its calls were named.
    pub(crate) fn start_now(&mut self) {
        self.started = Instant::now();
    }

    /// Reserves space for exactly this many calls.
    pub(crate) fn reserve(&self, calls: usize) {
        self.calls.lock().reserve_exact(calls);
    }

    /// Adds a call to the report and returns its index there. A call without a chain forms
    /// one by itself.
    pub(crate) fn register(&self, label: Label, chain: Option<u32>) -> usize {
        let mut calls = self.calls.lock();
        let index = calls.len();
        // 2^32 calls do not fit into memory.
        let chain = chain.unwrap_or_else(|| u32::try_from(index).unwrap_or(u32::MAX));
        calls.push(CallRecord { label, chain, progress: Progress::Waiting });
        index
    }

    /// Creates the span of a fan-out of this width. The guard records the figures at its end.
    pub(crate) fn span(&self, width: usize) -> Span {
        tracing::info_span!(
            "fan_out",
            "fanout.strategy" = self.strategy.as_str(),
            "fanout.width" = width,
            "fanout.wall_ms" = field::Empty,
            "fanout.saved_ms" = field::Empty,
            "fanout.avoidable_ms" = field::Empty,
            "fanout.chains" = field::Empty,
        )
    }

    /// Runs a call until it ends or the fan-out stops.
    pub(crate) async fn run<T, E>(
        self: Arc<Self>,
        index: usize,
        future: impl Future<Output = Result<T, E>>,
    ) -> Result<T, CallError<E>> {
        if self.stop.is_set() {
            return Err(self.skip(index));
        }
        let running = self.start(index);
        // A panic is the call's failure. Nothing of the call is used afterwards, so no broken
        // state is visible.
        let future = AssertUnwindSafe(future).catch_unwind();
        let Some(result) = self.stop.unless_set(future).await else {
            return Err(CallError::Cancelled); // dropping `running` records it
        };
        let result = match result {
            Ok(result) => result.map_err(CallError::Failed),
            Err(panic) => Err(CallError::Panicked(panic_message(&*panic))),
        };
        running.end(if result.is_ok() { CallState::Ok } else { CallState::Failed });
        if result.is_err() && self.policy == FailurePolicy::FailFast {
            self.stop.set();
        }
        result
    }

    /// Skips a call: its record stays without a time.
    pub(crate) fn skip<E>(&self, index: usize) -> CallError<E> {
        debug_assert!(matches!(self.calls.lock()[index].progress, Progress::Waiting));
        CallError::Skipped
    }

    pub(crate) fn stop(&self) {
        self.stop.set();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.is_set()
    }

    /// Returns the current report, in which running calls count as cancelled.
    pub(crate) fn report(&self) -> Report {
        let now = Instant::now();
        let calls = self.calls.lock().iter().map(|record| record.report(self.started, now)).collect();
        Report::new(self.strategy, calls)
    }

    fn start(&self, index: usize) -> RunningGuard<'_> {
        self.calls.lock()[index].progress = Progress::Running { since: Instant::now() };
        RunningGuard { recorder: self, index, ended: false }
    }

    fn end(&self, index: usize, state: CallState) {
        let mut calls = self.calls.lock();
        if let Progress::Running { since } = calls[index].progress {
            calls[index].progress = Progress::Ended { state, since, at: Instant::now() };
        }
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().map(str::to_owned);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

// === impl CallRecord ===

impl CallRecord {
    fn report(&self, started: Instant, now: Instant) -> CallReport {
        let time = |since: Instant, at: Instant| CallTime { start: since - started, duration: at - since };
        let (state, time) = match self.progress {
            Progress::Waiting => (CallState::Skipped, None),
            Progress::Running { since } => (CallState::Cancelled, Some(time(since, now))),
            Progress::Ended { state, since, at } => (state, Some(time(since, at))),
        };
        let Label { name, method, attempts } = self.label.clone();
        let (hedges, hedge_won) = attempts.as_ref().map_or((0, false), |sent| (sent.hedges(), sent.is_hedge_won()));
        let attempts = attempts.map_or(u32::from(time.is_some()), |attempts| attempts.get());
        CallReport { name, method, state, time, attempts, hedges, hedge_won, critical: false, chain: self.chain }
    }
}

// === impl RunningGuard ===

impl RunningGuard<'_> {
    fn end(mut self, state: CallState) {
        self.recorder.end(self.index, state);
        self.ended = true;
    }
}

impl Drop for RunningGuard<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.recorder.end(self.index, CallState::Cancelled);
        }
    }
}

// === impl FanOutGuard ===

impl FanOutGuard {
    pub(crate) fn new(recorder: Arc<Recorder>, span: Span) -> Self {
        Self { recorder, span, finished: false }
    }

    pub(crate) fn span(&self) -> &Span {
        &self.span
    }

    /// Completes the span and returns the report of a fan-out that ran to its end.
    pub(crate) fn finish(mut self) -> Report {
        self.finished = true;
        let report = self.recorder.report();
        record(&self.span, &report);
        report
    }
}

impl Drop for FanOutGuard {
    fn drop(&mut self) {
        if !self.finished {
            self.recorder.stop();
            record(&self.span, &self.recorder.report());
        }
    }
}

fn record(span: &Span, report: &Report) {
    if span.is_disabled() {
        return;
    }
    let ms = |duration: std::time::Duration| duration.as_secs_f64() * 1e3;
    // Together: each record is a look-up of the span in every layer of the subscriber.
    tracing::record_all!(
        span,
        fanout.wall_ms = ms(report.wall),
        fanout.saved_ms = ms(report.saved),
        fanout.avoidable_ms = ms(report.avoidable),
        fanout.chains = report.chains(),
    );
}
